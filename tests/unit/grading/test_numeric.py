from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.grading import symbolic
from kinograd.grading.numeric import relative_error, same_number
from kinograd.grading.read_quantity import read_quantity


def value(text: str) -> Fraction | None:
    quantity = read_quantity(text)
    return None if quantity is None else quantity.value


def same(answer: str, reference: str) -> bool:
    first, second = read_quantity(answer), read_quantity(reference)
    assert second is not None
    return first is not None and same_number(first, second)


@given(
    st.decimals(-(10**9), 10**9, places=3),
    st.sampled_from(
        ["{}", "{:,}", " {} ", "${}", "\\boxed{{{}}}", "x = {}", "about {} cats.", "**{}**"]
    ),
)
def test_a_number_in_any_notation(number: object, form: str) -> None:
    assert value(form.format(number)) == Fraction(str(number))


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_fractions(over: int, under: int) -> None:
    assert value(f"{over}/{under}") == Fraction(over, under)
    assert value(f"\\frac{{{over}}}{{{under}}}") == Fraction(over, under)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", Fraction(1, 1000)),
        (".5", Fraction(1, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("1½", Fraction(3, 2)),
        ("−5", Fraction(-5)),
        ("minus two", Fraction(-2)),
        ("twenty-one", Fraction(21)),
        ("one hundred and five", Fraction(105)),
        ("two hundred thousand", Fraction(200_000)),
        ("1.2 million", Fraction(1_200_000)),
        ("5k", Fraction(5000)),
        ("2nd", Fraction(2)),
        ("5 (five)", Fraction(5)),
        ("5kg", Fraction(5)),
        ("\\$1{,}200", Fraction(1200)),
        ("12", Fraction(12)),
    ],
)
def test_one_number(text: str, number: Fraction) -> None:
    assert value(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "", "none", "5 or 6", "5-6", "5:30", "1,5", "1,2,3", "1.2.3", "12/05/2020", "2 of the 5",
        "two or three", "twenty one one", "3D", "7up", "B12", "nan", "inf", "1_000", "1/0",
        "1e999", "9" * 100, "x", "9" * 10_000,
    ],
)  # fmt: skip
def test_none_or_several_numbers(text: str) -> None:
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("3.0", "3"),
        ("3", "3.0"),
        ("1,234", "1234"),
        ("3.14159", "3.14"),
        ("1/3", "0.33"),
        ("0.33", "1/3"),
        ("50%", "0.5"),
        ("0.5", "50%"),
        ("50", "50%"),
        ("50 percent", "50"),
        ("5", "5 kg"),
        ("5 kg", "5"),
        ("5000 g", "5 kg"),
        ("90 seconds", "1.5 minutes"),
        ("five cats", "5"),
    ],
)
def test_same_number(answer: str, reference: str) -> None:
    assert same(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("3.4", "3"),
        ("3.1", "3.14"),
        ("0.004", "0.001"),
        ("5 m", "5 cm"),
        ("5 kg", "5 m"),
        ("50", "0.5"),
        ("0.3", "1/3"),
        ("-5", "5"),
        ("5 or 6", "5"),
        ("12345678901234567890", "12345678901234567891"),
    ],
)
def test_different_numbers(answer: str, reference: str) -> None:
    assert not same(answer, reference)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_integers_are_the_same_only_if_equal(a: int, b: int) -> None:
    assert same(str(a), str(b)) == (a == b)


@given(st.integers(0, 999_999))
def test_number_words_are_read_back(number: int) -> None:
    assert value(_spell(number)) == number


SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen
fourteen fifteen sixteen seventeen eighteen nineteen"""
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety"


def _spell(n: int) -> str:
    small, tens = SMALL.split(), TENS.split()
    if n < 20:
        return small[n]
    if n < 100:
        return tens[n // 10] + (f"-{small[n % 10]}" if n % 10 else "")
    scale, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    rest = f" and {_spell(n % scale)}" if n % scale else ""
    return f"{_spell(n // scale)} {name}{rest}"


@pytest.mark.parametrize(
    ("answer", "reference", "error"),
    [
        ("11", "10", 0.1),
        ("10", "10", 0.0),
        ("-10", "10", 1.0),
        ("0", "0", 0.0),
        ("1", "0", 1.0),
        ("110 cm", "1 m", 0.1),
        ("1 kg", "1 m", 1.0),
    ],
)
def test_relative_error(answer: str, reference: str, error: float) -> None:
    first, second = read_quantity(answer), read_quantity(reference)
    assert first is not None
    assert second is not None
    assert relative_error(first, second) == pytest.approx(error)


@pytest.mark.parametrize(("text", "value"), [("5²", 25), ("10³", 1000), ("5 m²", 5)])
def test_a_raised_digit_is_a_power_after_a_number_only(text: str, value: int) -> None:
    assert read_quantity(text).value == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"-\frac12", "-1/2"), (r"-\frac{1}{2}", "-1/2"), ("-½", "-1/2"), ("-$5", "-5"),
        ("$-5$", "-5"), (r"-\boxed{5}", "-5"), (r"$\boxed{-5}$", "-5"), ("–5", "-5"), ("- 5", "-5"),
        ("(−5)", "-5"), ("minus five", "-5"), ("negative one third", "-1/3"), ("-5°C", "-5"),
        ("-3 x 10^8", "-300000000"), ("about -5", "-5"), ("**-5**", "-5"), (r"-\$5", "-5"),
    ],
)  # fmt: skip
def test_signs_are_kept(text: str, number: str) -> None:
    assert value(text) == Fraction(number)
    assert same(text, number)
    assert not same(text, number.removeprefix("-"))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\boxed{5} cm", "5"), (r"\boxed{5\text{ cm}}", "5"), (r"The answer is \boxed{5}.", "5"),
        (r"$\boxed{42}$ seconds", "42"), (r"\boxed{\frac{1}{2}}", "1/2"), (r"90^\circ", "90"),
        (r"90^{\circ}", "90"), ("３", "3"), (r"2\frac{1}{2}", "5/2"), (r"5\,000", "5000"),
        ("3 x 10^8", "300000000"), (r"3 \times 10^{-2}", "3/100"), ("1.5 × 10³ km", "1500"),
        ("one third", "1/3"), ("two-thirds", "2/3"), ("3 tenths", "3/10"), ("a quarter", "1/4"),
        ("half an hour", "1/2"), ("two and a half", "5/2"), ("two and three quarters", "11/4"),
        ("one point five", "3/2"), ("5 hundred and 3", "503"), ("five millions", "5000000"),
        ("3 dozen", "36"), ("$1.5M", "1500000"), ("2.5 bn", "2500000000"), ("5 lakh", "500000"),
        ("12 - 3 = 9", "9"), ("x ≈ 5 cm", "5"), ("a 5-minute video", "5"), ("7 (seven)", "7"),
        ("5 cars. The answer is 5.", "5"), ("only one", "1"), ("(3+2)/5", "1"),
    ],
)  # fmt: skip
def test_wrappers_words_and_scales(text: str, number: str) -> None:
    assert value(text) == Fraction(number)


@pytest.mark.parametrize(
    "text",
    [
        "not 5", "isn't 5", "at least 5", "less than 5", "5 or more", "5+", "<5", "±5", "x ≠ 5",
        "x != 5", "3–5", "5 - 5", "5-5", "5 to 5", "5 x 5", "5 cats and 5 dogs", "5 5", "5, -5",
        "x = 5, y = 6", "B-12", "COVID-19", "5M", "6'2", r"2\boxed{5}", r"\boxed{5}6", "--5",
        r"\boxed{5} or \boxed{6}", "cats - 5", "$5 and $6", "point five", "twice 5", "log 5",
        "half past five", "the one on the left", "5 per second", "third", "5 km 2 hours",
        "$5 €", "5 % 3", r"\sqrt[3]{8}", "5‰", "5 minus 5", "five-six",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_unread(text: str) -> None:
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("2 min 30 s", "150 s"), ("2 min 30 s", "2.5 min"), ("1h30m", "90 min"),
        ("1 hour and 30 minutes", "1.5 h"), ("5 ft 11 in", "71 inches"), ("1 kg, 200 g", "1.2 kg"),
        ("three quarters of an hour", "45 min"), ("10 square meters", "10 m^2"),
        ("1 m²", "10000 cm²"), ("$5", "5 dollars"), ("90 degrees", "90°"), ("5 m/s", "18 km/h"),
    ],
)  # fmt: skip
def test_units_are_converted(answer: str, reference: str) -> None:
    assert same(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("$5", "€5"), ("5 °C", "5 °F"), ("5 m²", "5 m"), (r"\boxed{5} km", "5 cm"), ("$5", "5 km")],
)
def test_another_unit_is_wrong(answer: str, reference: str) -> None:
    assert not same(answer, reference)


@given(st.text(alphabet="0123456789 .,-+*/^()=$%\\{}abcmx√½²°twohundredmi", max_size=60))
def test_any_text_is_read_or_unread(text: str) -> None:
    with contextlib.suppress(symbolic.SymbolicError):
        found = read_quantity(text)
        assert found is None or isinstance(found.value, Fraction)
