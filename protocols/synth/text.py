"""What is said: short everyday sentences of our own, and how any English text is pronounced.

Phonemes are the 39 of ARPAbet with stress digits on vowels (`AA1` stressed, `AA0` not) and `SIL`. Every word of the
sentences is in the lexicon below; other words go through a few letter-to-sound rules that give something plausible.
The sentences are rich in what shows on a mouth: bilabials, rounded and open vowels.
"""

from __future__ import annotations

import re
from functools import lru_cache

from bench.media.errors import UserError

SILENCE = "SIL"
VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})
CONSONANTS = frozenset(
    {
        "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y",
        "Z", "ZH",
    }
)  # fmt: skip

TRAIN_SENTENCES: tuple[str, ...] = (
    "My mother bought a big blue boat.",
    "Please put the paper by the window.",
    "We walked along the beach before breakfast.",
    "Bob made a warm apple pie for Emma.",
    "The boys enjoy the music in the park.",
    "Papa moved the table to the other room.",
    "I would love a cup of coffee now.",
    "She wore a long purple scarf all week.",
    "The baby bear was asleep in the barn.",
    "Open the box and show me the map.",
    "You should bring a warm coat tomorrow.",
    "They found a small treasure near the farm.",
    "Few people saw the moon above the bay.",
    "The farmer put a bell on every sheep.",
    "Vivian gave him five fat yellow pears.",
    "Watch the white bird fly over the pool.",
    "My father chopped the wood this morning.",
    "Both of them came home about noon.",
    "He threw the ball over the brown house.",
    "Join me for a bowl of mushroom soup.",
    "The thick fog made the voyage slow.",
    "Mom bought a new broom and a mop.",
    "How many boxes of plums do we have?",
    "The judge gave a very short speech.",
    "A loud noise woke up the whole village.",
    "Jim and Amy sing in the same choir.",
    "Put your wet boots outside the back door.",
    "Good food makes everybody happy.",
    "The old bus stops below the hill.",
    "Maybe we could borrow a bigger pan.",
    "The pilot saw smoke above the valley.",
    "Where on earth did you hide the vase?",
    "This book is about a brave young woman.",
    "Pour some more milk for the puppy.",
    "The usual crowd came to the opera.",
    "Wash both hands, then bake the bread.",
    "Our team won the match by two points.",
    "I am proud of my home by the water.",
    "A map of Europe hung above the bed.",
    "Nobody knew what the poor man wanted.",
)
"""For people to learn from."""

TEST_SENTENCES: tuple[str, ...] = (
    "Peter brought a pot of peppermint tea.",
    "We may go to the movies on Monday.",
    "The blue umbrella is in the hallway.",
    "She bought a measure of silk at the shop.",
    "Could you move the sofa to the wall?",
    "Five brown puppies ran through the mud.",
    "My cousin wrote a poem about the moon.",
    "The boiled beef was far too hot.",
    "Let us jump over the puddle together.",
    "Both women laughed at the funny joke.",
    "The cook chopped some more mushrooms.",
    "How would you like a piece of melon?",
    "The young man pushed the boat away.",
    "Bill hopes the weather will be warm.",
    "I heard a voice on the balcony above.",
    "Papa put the soup on the wooden table.",
    "They gave every boy a wool blanket.",
    "Show me the pearl you found today.",
    "Nothing moves in the quiet room now.",
    "Maybe the bus will come before four.",
)
"""For people to test on; none of them is in TRAIN_SENTENCES."""

_LEXICON = """
a AH0 | about AH0 B AW1 T | above AH0 B AH1 V | all AO1 L | along AH0 L AO1 NG | am AE0 M | amy EY1 M IY0
and AE0 N D | apple AE1 P AH0 L | asleep AH0 S L IY1 P | at AE0 T | away AH0 W EY1 | baby B EY1 B IY0 | back B AE1 K
bake B EY1 K | balcony B AE1 L K AH0 N IY0 | ball B AO1 L | barn B AA1 R N | bay B EY1 | be B IY0 | beach B IY1 CH
bear B EH1 R | bed B EH1 D | beef B IY1 F | before B IH0 F AO1 R | bell B EH1 L | below B IH0 L OW1 | big B IH1 G
bigger B IH1 G ER0 | bill B IH1 L | bird B ER1 D | blanket B L AE1 NG K AH0 T | blue B L UW1 | boat B OW1 T
bob B AA1 B | boiled B OY1 L D | book B UH1 K | boots B UW1 T S | borrow B AA1 R OW0 | both B OW1 TH | bought B AO1 T
bowl B OW1 L | box B AA1 K S | boxes B AA1 K S IH0 Z | boy B OY1 | boys B OY1 Z | brave B R EY1 V | bread B R EH1 D
breakfast B R EH1 K F AH0 S T | bring B R IH1 NG | broom B R UW1 M | brought B R AO1 T | brown B R AW1 N | bus B AH1 S
by B AY0 | came K EY1 M | choir K W AY1 ER0 | chopped CH AA1 P T | coat K OW1 T | coffee K AO1 F IY0 | come K AH1 M
cook K UH1 K | could K UH0 D | cousin K AH1 Z AH0 N | crowd K R AW1 D | cup K AH1 P | did D IH0 D | do D UW0
door D AO1 R | earth ER1 TH | emma EH1 M AH0 | enjoy EH0 N JH OY1 | europe Y UH1 R AH0 P | every EH1 V R IY0
everybody EH1 V R IY0 B AA0 D IY0 | far F AA1 R | farm F AA1 R M | farmer F AA1 R M ER0 | fat F AE1 T
father F AA1 DH ER0 | few F Y UW1 | five F AY1 V | fly F L AY1 | fog F AA1 G | food F UW1 D | for F AO0 R
found F AW1 N D | four F AO1 R | funny F AH1 N IY0 | gave G EY1 V | go G OW1 | good G UH1 D | hallway HH AO1 L W EY0
hands HH AE1 N D Z | happy HH AE1 P IY0 | have HH AE1 V | he HH IY0 | heard HH ER1 D | hide HH AY1 D | hill HH IH1 L
him HH IH0 M | home HH OW1 M | hopes HH OW1 P S | hot HH AA1 T | house HH AW1 S | how HH AW1 | hung HH AH1 NG | i AY0
in IH0 N | is IH0 Z | jim JH IH1 M | join JH OY1 N | joke JH OW1 K | judge JH AH1 JH | jump JH AH1 M P
knew N UW1 | laughed L AE1 F T | let L EH1 T | like L AY1 K | long L AO1 NG | loud L AW1 D | love L AH1 V
made M EY1 D | makes M EY1 K S | man M AE1 N | many M EH1 N IY0 | map M AE1 P | match M AE1 CH | may M EY0
maybe M EY1 B IY0 | me M IY0 | measure M EH1 ZH ER0 | melon M EH1 L AH0 N | milk M IH1 L K | mom M AA1 M
monday M AH1 N D EY0 | moon M UW1 N | mop M AA1 P | more M AO1 R | morning M AO1 R N IH0 NG | mother M AH1 DH ER0
move M UW1 V | moved M UW1 V D | moves M UW1 V Z | movies M UW1 V IY0 Z | mud M AH1 D | mushroom M AH1 SH R UW0 M
mushrooms M AH1 SH R UW0 M Z | music M Y UW1 Z IH0 K | my M AY0 | near N IH1 R | new N UW1
nobody N OW1 B AA0 D IY0 | noise N OY1 Z | noon N UW1 N | nothing N AH1 TH IH0 NG | now N AW1 | of AH0 V | old OW1 L D
on AA0 N | open OW1 P AH0 N | opera AA1 P R AH0 | other AH1 DH ER0 | our AW0 ER0 | outside AW0 T S AY1 D
over OW1 V ER0 | pan P AE1 N | papa P AA1 P AH0 | paper P EY1 P ER0 | park P AA1 R K | pearl P ER1 L | pears P EH1 R Z
people P IY1 P AH0 L | peppermint P EH1 P ER0 M IH0 N T | peter P IY1 T ER0 | pie P AY1 | piece P IY1 S
pilot P AY1 L AH0 T | please P L IY1 Z | plums P L AH1 M Z | poem P OW1 AH0 M | points P OY1 N T S | pool P UW1 L
poor P UH1 R | pot P AA1 T | pour P AO1 R | proud P R AW1 D | puddle P AH1 D AH0 L | puppies P AH1 P IY0 Z
puppy P AH1 P IY0 | purple P ER1 P AH0 L | pushed P UH1 SH T | put P UH1 T | quiet K W AY1 AH0 T | ran R AE1 N
room R UW1 M | same S EY1 M | saw S AO1 | scarf S K AA1 R F | she SH IY0 | sheep SH IY1 P | shop SH AA1 P
short SH AO1 R T | should SH UH0 D | show SH OW1 | silk S IH1 L K | sing S IH1 NG | slow S L OW1 | small S M AO1 L
smoke S M OW1 K | sofa S OW1 F AH0 | some S AH0 M | soup S UW1 P | speech S P IY1 CH | stops S T AA1 P S
table T EY1 B AH0 L | tea T IY1 | team T IY1 M | the DH AH0 | them DH EH0 M | then DH EH1 N | they DH EY0
thick TH IH1 K | this DH IH0 S | threw TH R UW1 | through TH R UW0 | to T UW0 | today T AH0 D EY1
together T AH0 G EH1 DH ER0 | tomorrow T AH0 M AA1 R OW0 | too T UW1 | treasure T R EH1 ZH ER0 | two T UW1
umbrella AH0 M B R EH1 L AH0 | up AH1 P | us AH0 S | usual Y UW1 ZH UW0 AH0 L | valley V AE1 L IY0 | vase V EY1 S
very V EH1 R IY0 | village V IH1 L IH0 JH | vivian V IH1 V IY0 AH0 N | voice V OY1 S | voyage V OY1 IH0 JH
walked W AO1 K T | wall W AO1 L | wanted W AA1 N T IH0 D | warm W AO1 R M | was W AH0 Z | wash W AA1 SH
watch W AA1 CH | water W AO1 T ER0 | we W IY0 | weather W EH1 DH ER0 | week W IY1 K | wet W EH1 T | what W AH1 T
where W EH1 R | white W AY1 T | whole HH OW1 L | will W IH0 L | window W IH1 N D OW0 | woke W OW1 K
woman W UH1 M AH0 N | women W IH1 M AH0 N | won W AH1 N | wood W UH1 D | wooden W UH1 D AH0 N | wool W UH1 L
wore W AO1 R | would W UH0 D | wrote R OW1 T | yellow Y EH1 L OW0 | you Y UW0 | young Y AH1 NG | your Y AO0 R
"""

_RULES = """
tch CH | igh AY | ough AO | sh SH | ch CH | th TH | ph F | wh W | ng NG | nk NG K | ck K | qu K W | kn N | wr R | dge JH
ee IY | ea IY | oo UW | ou AW | ow OW | oi OY | oy OY | ai EY | ay EY | au AO | aw AO | ew UW | oa OW | ie IY | ey IY
er ER | ir ER | ur ER | ar AA R | or AO R | ll L | ss S | tt T | pp P | bb B | dd D | ff F | gg G | mm M | nn N | rr R
ace EY S | ice AY S | age EY JH
zz Z | cc K | ce S | ci S IH | cy S IY | ge JH | a AE | b B | c K | d D | e EH | f F | g G | h HH | i IH | j JH | k K
l L | m M | n N | o AA | p P | q K | r R | s S | t T | u AH | v V | w W | x K S | y IY | z Z
"""
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW", "y": "AY"}


def phonemes(text: str) -> list[str]:
    """How a text is said: ARPAbet symbols with stress, `SIL` first, last, and at every inner punctuation mark.

    Args:
        text: English words and punctuation; numbers must be written as words.

    Raises:
        UserError: there is no word in it, or something that is neither a letter nor punctuation.
    """
    tokens = re.findall(r"[a-z']+|[.,;:!?]|[^\sa-z'.,;:!?\"()-]", text.lower().replace("\u2019", "'"))
    strange = [token for token in tokens if not re.fullmatch(r"[a-z'.,;:!?]+", token)]
    if strange:
        raise UserError(f"cannot say {strange[0]!r} in {text!r}: write the text in English letters, numbers as words")
    said = [SILENCE]
    for token in tokens:
        if token in ".,;:!?":
            said += [SILENCE] if said[-1] != SILENCE else []
        else:
            said += pronounce(token.replace("'", ""))
    if len(said) == 1:
        raise UserError(f"no word to say in {text!r}: give a text with at least one English word")
    return said if said[-1] == SILENCE else [*said, SILENCE]


def pronounce(word: str) -> list[str]:
    """Phonemes of one word in small letters: from the lexicon, else by rule."""
    return list(lexicon().get(word) or _by_rule(word))


@lru_cache(maxsize=1)
def lexicon() -> dict[str, tuple[str, ...]]:
    """How every word of the sentences, in small letters, is said."""
    return {word: tuple(sounds) for word, *sounds in _entries(_LEXICON)}


def _entries(block: str) -> list[list[str]]:
    return [entry.split() for line in block.strip().splitlines() for entry in line.split("|")]


def _by_rule(word: str) -> list[str]:
    """The longest rule that fits, from left to right; a final silent e makes the vowel before one consonant long."""
    rules = {letters: sounds for letters, *sounds in _entries(_RULES)}
    silent = re.fullmatch(r".*[aeiouy][bdfklmnpqstvz]e", word) is not None
    end = len(word) - 1 if silent else len(word)
    sounds, i = [], 0
    while i < end:
        letters = next(word[i : i + n] for n in (4, 3, 2, 1) if i + n <= end and word[i : i + n] in rules)
        long = silent and i == end - 2 and letters in _LONG
        sounds += [_LONG[letters]] if long else rules[letters]
        i += len(letters)
    stressed = next((i for i, sound in enumerate(sounds) if sound in VOWELS), None)
    return [f"{sound}{int(i == stressed)}" if sound in VOWELS else sound for i, sound in enumerate(sounds)]
