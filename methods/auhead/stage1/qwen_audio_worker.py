"""Qwen-Audio-Chat in a process of its own: run by the Python of an environment with transformers 4.51, imports nothing of ours.

    python qwen_audio_worker.py --checkpoint Qwen/Qwen-Audio-Chat --adapter DIR --device cuda --dtype bfloat16

Speaks JSON lines: first {"ready": true, "parameters": N} or {"error": text}; then for every line {"audio": WAV path,
"text": question, "max_new_tokens": N} one line {"answer": text} or {"error": text}. Ends with its standard input.
"""

import argparse
import json
import os
import sys


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    # Libraries print; only this file speaks on what was standard output.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(content: dict) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    try:
        model, tokenizer = load(arguments)
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    reply({"ready": True, "parameters": sum(parameter.numel() for parameter in model.parameters())})
    for line in sys.stdin:
        try:
            reply({"answer": answer(model, tokenizer, json.loads(line))})
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


def load(arguments):
    """Model with LoRA weights, and tokenizer; from the Hugging Face cache or a folder."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"trust_remote_code": True, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint, **options)
    model = AutoModelForCausalLM.from_pretrained(
        arguments.checkpoint, torch_dtype=getattr(torch, arguments.dtype), **options
    )
    model = PeftModel.from_pretrained(model, arguments.adapter)
    return model.to(arguments.device).eval(), tokenizer


def answer(model, tokenizer, question):
    """Greedy answer to one question about one recording."""
    query = tokenizer.from_list_format([{"audio": question["audio"]}, {"text": question["text"]}])
    text, _ = model.chat(
        tokenizer, query=query, history=None, do_sample=False, max_new_tokens=question["max_new_tokens"]
    )
    return text


if __name__ == "__main__":
    main()
