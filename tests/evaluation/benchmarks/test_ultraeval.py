"""Answers whose score by UltraEval's rules is known."""

from __future__ import annotations

import pytest

from evaluation.benchmarks import ultraeval

ARC = {
    "question": "Which animal purrs?",
    "choices": {"text": ["a dog", "a cow", "a cat", "a hen"], "label": ["1", "2", "3", "4"]},
    "answerKey": "3",
}
HELLASWAG = {
    "activity_label": "Washing a car",
    "ctx_a": "A man rubs a car.",
    "ctx_b": "he",
    "endings": ["eats it.", "A song begins.", "rinses it.", "sleeps."],
    "label": "2",
}
THREE = {
    **ARC,
    "choices": {"text": ["ice", "D", "tea"], "label": ["A", "B", "C"]},
    "answerKey": "C",
}

#: Answers to an item whose right option is the third of four, "{}".
_LETTERS = [
    ("(C)", 1),
    ("C", 1),
    ("C.", 1),
    ("(C).", 1),
    (" \n(C)", 1),
    ("The answer is (C).", 1),
    ("The answer is C because it purrs", 1),
    ("It is (C), I think", 0),  # a comma belongs to the word
    ("C)", 0),
    ("c", 0),
    ("**C**", 0),
    ("Answer: (C)", 1),
    ("Answer:(C)", 0),
    ("Well\n(C)", 0),  # only the first line
    ("{}", 1),
    ("{} it is", 1),
    ("It is {}", 0),
    ("(B) {}", 0),
    ("(D) or (C)", 0),
    ("(C) or (D)", 1),
    ("A guess: (C)", 0),  # the first letter is A
    ("E (C)", 1),  # no option has it
    ("C..", 0),
    ("\t", 0),
    ("", 0),
]


@pytest.mark.parametrize(("answer", "score"), _LETTERS)
def test_options(answer: str, score: int) -> None:
    for rule, doc, text in (
        (ultraeval.arc, ARC, "a cat"),
        (ultraeval.hellaswag, HELLASWAG, "rinses it."),
    ):
        assert rule(doc, [answer.format(text)]) == {"acc": score}


def test_options_after_the_question_and_letters_that_the_item_lacks() -> None:
    assert ultraeval.arc(ARC, ["Which animal purrs? a cat"]) == {"acc": 1}
    assert ultraeval.hellaswag(HELLASWAG, ["A man rubs a car. he rinses it."]) == {"acc": 1}
    other = {**HELLASWAG, "label": "1"}  # the letter is wrong, the text right
    assert ultraeval.hellaswag(other, ["A song begins."]) == {"acc": 1}
    assert ultraeval.arc(THREE, ["D (C)"]) == {"acc": 1}


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("48 + 24 = 72 clips.\n#### 72\n\nThat is 36 a month for 2 months.", "72"),
        ("#### 72\n\nQuestion: And 3?\nAnswer: #### 3", "72"),
        ("#### 1,234", "1234"),
        ("#### -5", "-5"),
        ("#### 7.", "7."),
        ("#### 5.00", "5.00"),
        ("####72 apples", "####72"),
        ("#### $72", "####"),
        ("48/2 = <<48/2=24>>24 clips", "24"),
        ("<<48/2=24>>24. So <<48+24=72>>$72.", "72"),
        ("<<1+1=2>>", "2>>"),
        ("<<1+1=2>>2 so x = 9", "2"),
        ("She has 3 + 4 = 7 apples", "7"),
        ("3 + 4 = $1,007.", "1007"),
        ("x = 7 and y = 8 then", "8"),
        ("It is 72 in all", "72"),
        ("There are 3 cats and 72 dogs", "72"),
        ("It is 72.", "It"),
        ("5.5 in all", "5.5"),
        ("y =", "y"),
        ("", ""),
    ],
)
def test_numbers(answer: str, number: str) -> None:
    assert ultraeval.number(answer) == number


def test_gsm8k_compares_with_the_published_number() -> None:
    doc = {"answer": "48 + 24 = <<48+24=72>>1,072 clips.\n#### 1,072"}
    right = ("#### 1,072", "#### 1072", "so <<72=72>>1072 clips", "x = $1,072.", "1072 clips")
    assert [ultraeval.gsm8k(doc, [answer]) for answer in right] == [{"acc": 1}] * 5
    wrong = ("#### 72", "#### 1072.", "#### 1072.0", "It is 1072.", "1,072 it is not 3")
    assert [ultraeval.gsm8k(doc, [answer]) for answer in wrong] == [{"acc": 0}] * 5


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("7", "7", 1),
        (" 7 \n", "7", 1),
        ("7.", "7", 0),
        ("7\n\nQuestion:\nHow many?", "7", 1),
        ("7\nbecause", "7", 0),
        ("The answer is 7", "7", 1),
        ("The answer is 7.", "7", 0),
        ("So the answer is 7.", "7", 1),
        ("So the answer is 7..", "7", 1),
        ("First, 3. So the answer is 3. No. So the answer is 7.", "7", 1),
        ("The Answer Is 7", "7", 0),
        ("答案是 7", "7", 1),
        ("答案是7。", "7", 0),
        ("One.\n\nThe answer is 7", "7", 0),
        ("] )", "])", 1),
        ("ant bee cow", "ant bee cow", 1),
        ("ant  bee\tcow", "ant bee cow", 1),
        ("ant, bee, cow", "ant bee cow", 0),
        ("Ant bee cow", "ant bee cow", 0),
        ("", "7", 0),
    ],
)
def test_free_answers_of_bbh(answer: str, target: str, score: int) -> None:
    assert ultraeval.bbh({"options": "", "target": target}, [answer]) == {"acc": score}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("(B)", 1),
        (" (B)", 1),
        ("\n\n(B)\n", 1),
        ("(B) the dog", 1),
        ("(B)ecause", 1),
        ("(B), not (A)", 1),
        ("(B)\n\nQuestion:\nWhich?", 1),
        ("B", 0),
        ("B.", 0),
        ("[B]", 0),
        ("( B)", 0),
        ("(b)", 0),
        ("The answer is (B)", 0),
        ("(A)", 0),
        ("(A) (B)", 0),
        ("**(B)**", 0),
        ("", 0),
    ],
)
def test_answers_that_begin_with_the_letter(answer: str, score: int) -> None:
    lettered = {"options": "(A) the cat\n(B) the dog", "target": "(B)"}
    assert ultraeval.bbh(lettered, [answer]) == {"acc": score}
    assert ultraeval.mmlu({"answer": 1}, [answer]) == {"acc": score}
    assert ultraeval.cmmlu({"Answer": "B"}, [answer]) == {"acc": score}
