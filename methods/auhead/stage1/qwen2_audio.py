"""Qwen2-Audio as the language model of the first stage, in full and in small: prompts in, answers out, tensors to train on.

The paper fine-tunes Qwen-Audio-Chat, which recent transformers cannot run (`methods.auhead.stage1.qwen_audio`); Qwen2-Audio
is its successor with the same kind of speech encoder, and is native there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from bench.media.clip import SAMPLE_RATE
from methods.auhead.stage1.predictor import Question

IGNORED = -100
"""Label of a token that the loss leaves out."""


class Qwen2Audio:
    """A model and its processor, as `methods.auhead.stage1.predictor.LanguageModel`."""

    def __init__(self, model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor):
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer

    @property
    def seconds(self) -> float:
        """Longest speech that is heard at once; the encoder sees nothing of what is beyond."""
        return self.processor.feature_extractor.n_samples / SAMPLE_RATE

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @torch.inference_mode()
    def answers(
        self, questions: Sequence[Question], max_new_tokens: int, constraint: LogitsProcessor | None = None
    ) -> list[str]:
        """One text per question, decoded greedily in one batch, cut where the model's context ends.

        Args:
            questions: what is asked.
            max_new_tokens: an answer that is longer is cut.
            constraint: see `methods.auhead.stage1.grammar`; it serves one call.
        """
        batch = self._stacked([self._prompt(question) for question in questions])
        asked = batch["input_ids"].shape[1]
        room = self.model.config.text_config.max_position_embeddings - asked
        written = self.model.generate(
            **{name: value.to(self.model.device) for name, value in batch.items()},
            max_new_tokens=min(max_new_tokens, room),
            do_sample=False,
            logits_processor=[constraint] if constraint else None,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return self.tokenizer.batch_decode(written[:, asked:], skip_special_tokens=True)

    def training_batch(self, questions: Sequence[Question], answers: Sequence[str]) -> dict[str, Tensor]:
        """Inputs and labels; only the answer and the token that ends it have labels.

        Returns:
            input_ids, attention_mask, labels int64 (B, L), input_features float32 (B, mel bands, frames),
            feature_attention_mask int (B, frames).
        """
        rows = []
        for question, answer in zip(questions, answers, strict=True):
            row = self._prompt(question)
            ids = self.tokenizer(answer, add_special_tokens=False).input_ids
            answered = torch.tensor([*ids, self.tokenizer.eos_token_id])
            row["labels"] = torch.cat([torch.full_like(row["input_ids"], IGNORED), answered])
            row["input_ids"] = torch.cat([row["input_ids"], answered])
            rows.append(row)
        return self._stacked(rows)

    def _prompt(self, question: Question) -> dict[str, Tensor]:
        """Tensors of one prompt, which ends where the answer begins."""
        content = [{"type": "audio", "audio": question.audio}, {"type": "text", "text": question.text}]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        # `audio=`: an older name of this argument is ignored without a word.
        encoded = self.processor(text=[text], audio=[question.audio], sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return {name: encoded[name][0] for name in ("input_ids", "input_features", "feature_attention_mask")}

    def _stacked(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """A batch, padded on the left, where generation goes on from the right."""
        fill = {"input_ids": self.tokenizer.pad_token_id, "labels": IGNORED, "attention_mask": 0}
        longest = max(len(row["input_ids"]) for row in rows)
        rows = [row | {"attention_mask": torch.ones_like(row["input_ids"])} for row in rows]
        return {
            name: torch.stack([_padded(row[name], longest, fill[name]) if name in fill else row[name] for row in rows])
            for name in rows[0]
        }


def _padded(values: Tensor, length: int, fill: int) -> Tensor:
    return torch.nn.functional.pad(values, (length - len(values), 0), value=fill)
