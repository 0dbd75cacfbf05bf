# SPDX-License-Identifier: Apache-2.0
"""Numbers as people write them, country by country: what each is in E.164, and what is none that can be a mobile."""

import unicodedata

import pytest

from models import phone
from models.errors import InvalidField, InvalidPhone

WRITTEN = [
    # Argentina: at home a mobile has a 15 or nothing, from abroad a 9.
    (54, "11 2345-6780", "+5491123456780"),
    (54, "011 15-2345-6780", "+5491123456780"),
    (54, "15 2345-6780", None),  # without its area nobody can say where
    (54, "9 11 2345-6780", "+5491123456780"),
    (54, "+54 9 11 2345 6780", "+5491123456780"),
    (54, "+54 11 2345 6780", "+5491123456780"),
    (54, "0351 15 234-5678", "+5493512345678"),
    (54, "0800 333 4444", None),
    # Mexico: 044, 045 and the 1 of old are gone, and still written.
    (52, "55 1234 5678", "+525512345678"),
    (52, "044 55 1234 5678", "+525512345678"),
    (52, "045 33 1234 5678", "+523312345678"),
    (52, "+52 1 55 1234 5678", "+525512345678"),
    (52, "01 55 1234 5678", "+525512345678"),
    (52, "044 1234 5678", None),
    (52, "800 123 4567", None),
    # Brazil: the 9 in front, and the carrier that is dialled between the 0 and the area.
    (55, "(11) 96123-4567", "+5511961234567"),
    (55, "011 96123-4567", "+5511961234567"),
    (55, "0 15 11 96123-4567", "+5511961234567"),
    (55, "21 99876 5432", "+5521998765432"),
    (55, "(11) 3123-4567", None),
    (55, "0800 123 4567", None),
    # Benin and Ivory Coast: longer since 2024 and 2021.
    (229, "01 97 12 34 56", "+2290197123456"),
    (229, "97 12 34 56", None),
    (225, "07 01 23 45 67", "+2250701234567"),
    (225, "05-05-12-34-56", "+2250505123456"),
    (225, "01 23 45 67", None),
    # Italy: a fixed line keeps its zero, a mobile never had one. San Marino and the Vatican are beside it.
    (39, "340 123 4567", "+393401234567"),
    (39, "+39 320/1234567", "+393201234567"),
    (39, "06 6982", None),
    (39, "02 3661 8300", None),
    (39, "800 123 456", None),
    (378, "66 66 12 12", "+37866661212"),
    # +1: one plan for many countries.
    (1, "(212) 555-0123", "+12125550123"),
    (1, "1-416-555-0123", "+14165550123"),
    (1, "876 210 1234", "+18762101234"),
    (1, "+1 (809) 234.5678", "+18092345678"),
    (1, "787-234-5678", "+17872345678"),
    (1, "900 234 5678", None),
    (1, "888-555-0123", None),
    (1, "555-0123", None),
    (1, "911", None),
    # +7: Russia and Kazakhstan.
    (7, "8 (912) 345-67-89", "+79123456789"),
    (7, "+7 912 345 67 89", "+79123456789"),
    (7, "8 701 234 56 78", "+77012345678"),
    (7, "707 123 4567", "+77071234567"),
    (7, "8 800 555 35 35", None),
    (7, "8 495 123 45 67", None),
    # Kosovo has had a code of its own since 2017.
    (383, "044 123 456", "+38344123456"),
    (383, "+383 49 123 456", "+38349123456"),
    (383, "038 212 345", None),
    # France and what is overseas.
    (33, "06 12 34 56 78", "+33612345678"),
    (33, "07.56.78.90.12", "+33756789012"),
    (33, "+33 (0)6 12 34 56 78", "+33612345678"),
    (33, "01 23 45 67 89", None),
    (33, "08 92 12 34 56", None),
    (262, "0692 12 34 56", "+262692123456"),
    (262, "0639 01 23 45", "+262639012345"),
    (590, "0690 12 34 56", "+590690123456"),
    (594, "0694 20 12 34", "+594694201234"),
    (596, "0696 20 12 34", "+596696201234"),
    (687, "75.12.34", "+687751234"),
    (689, "87 12 34 56", "+68987123456"),
    # China: ranges of many years.
    (86, "138 0013 8000", "+8613800138000"),
    (86, "192 1234 5678", "+8619212345678"),
    (86, "196-1234-5678", "+8619612345678"),
    (86, "197 1234 5678", "+8619712345678"),
    (86, "162 1234 5678", "+8616212345678"),
    (86, "171 1234 5678", "+8617112345678"),
    (86, "0 138 0013 8000", "+8613800138000"),
    (86, "010 6552 9988", None),
    (86, "400 123 4567", None),
    (86, "10086", None),
    # Japan: 060 was opened in 2026.
    (81, "090-1234-5678", "+819012345678"),
    (81, "080 1234 5678", "+818012345678"),
    (81, "060-1234-5678", "+816012345678"),
    (81, "090ー1234ー5601", "+819012345601"),
    (81, "０９０（１２３４）５６０１", "+819012345601"),
    (81, "03-1234-5678", None),
    (81, "0120-123-456", None),
    (81, "110", None),
    # Hong Kong, Macao, Taiwan, Korea, Mongolia.
    (852, "5123 4567", "+85251234567"),
    (852, "2123 4567", None),
    (853, "6612 3456", "+85366123456"),
    (886, "0912-345-678", "+886912345678"),
    (886, "02 2345 6789", None),
    (82, "010-2345-6789", "+821023456789"),
    (82, "02-312-3456", None),
    (976, "8812 3456", "+97688123456"),
    # South and South-East Asia.
    (91, "098765 43210", "+919876543210"),
    (91, "+91-98765-43210", "+919876543210"),
    (91, "011 2345 6789", None),
    (91, "1800 11 1234", None),
    (92, "0301 2345678", "+923012345678"),
    (880, "01812-345678", "+8801812345678"),
    (94, "071 234 5678", "+94712345678"),
    (977, "984-1234567", "+9779841234567"),
    (62, "0812-345-678", "+62812345678"),
    (62, "021 350 1234", None),
    (60, "012-345 6789", "+60123456789"),
    (63, "0905 123 4567", "+639051234567"),
    (65, "8123 4567", "+6581234567"),
    (65, "6123 4567", None),
    (66, "081 234 5678", "+66812345678"),
    (84, "091 234 56 78", "+84912345678"),
    (95, "09 212 3456", "+9592123456"),
    # Europe.
    (44, "07400 123456", "+447400123456"),
    (44, "+44 (0)7400 123456", "+447400123456"),
    (44, "07781 123456", "+447781123456"),
    (44, "070 1234 5678", None),
    (44, "0121 234 5678", None),
    (49, "0151 23456789", "+4915123456789"),
    (49, "0171/1234567", "+491711234567"),
    (49, "030 123456", None),
    (49, "0900 1 123456", None),
    (43, "0664 123456", "+43664123456"),
    (41, "078 123 45 67", "+41781234567"),
    (34, "612 34 56 78", "+34612345678"),
    (34, "810 12 34 56", None),
    (351, "912 345 678", "+351912345678"),
    (31, "06-12345678", "+31612345678"),
    (32, "0470 12 34 56", "+32470123456"),
    (48, "512 345 678", "+48512345678"),
    (420, "601 123 456", "+420601123456"),
    (36, "06 20 123 4567", "+36201234567"),
    (40, "0712 034 567", "+40712034567"),
    (30, "691 234 5678", "+306912345678"),
    (46, "070-123 45 67", "+46701234567"),
    (47, "406 12 345", "+4740612345"),
    (45, "32 12 34 56", "+4532123456"),  # Danish numbers do not say what they are
    (358, "041 2345678", "+358412345678"),
    (353, "085 012 3456", "+353850123456"),
    (380, "050 123 4567", "+380501234567"),
    (90, "0501 234 56 78", "+905012345678"),
    # The Near East and Africa.
    (972, "050-234-5678", "+972502345678"),
    (966, "051 234 5678", "+966512345678"),
    (971, "050 123 4567", "+971501234567"),
    (98, "0912 345 6789", "+989123456789"),
    (98, "۰۹۱۲ ۳۴۵ ۶۷۸۹", "+989123456789"),
    (20, "٠١٠٠ ١٢٣ ٤٥٦٧", "+201001234567"),
    (212, "0650-123456", "+212650123456"),
    (213, "0551 23 45 67", "+213551234567"),
    (234, "0802 123 4567", "+2348021234567"),
    (254, "0712 123456", "+254712123456"),
    (233, "023 123 4567", "+233231234567"),
    (27, "071 123 4567", "+27711234567"),
    (27, "0800 123 456", None),
    (251, "091 123 4567", "+251911234567"),
    # The rest of the Americas, and Oceania.
    (56, "9 6123 4567", "+56961234567"),
    (57, "321 1234567", "+573211234567"),
    (51, "912 345 678", "+51912345678"),
    (58, "0412-1234567", "+584121234567"),
    (53, "05 1234567", "+5351234567"),
    (61, "0412 345 678", "+61412345678"),
    (61, "02 1234 5678", None),
    (61, "13 00 00", None),
    (64, "021 123 4567", "+64211234567"),
    (675, "7012 3456", "+67570123456"),
    # No country's: satellites, toll-free and premium lines of the world.
    (881, "6 1234 5678", None),
    (870, "773 111 632", None),
    (882, "16 1234 5678", None),
    (883, "5100 1234 5678", None),
    (800, "1234 5678", None),
    (808, "1234 5678", None),
    (979, "1 2345 6789", None),
]


@pytest.mark.parametrize(("region_num", "phone_num", "e164"), WRITTEN)
def test_a_number_as_people_write_it(region_num: int, phone_num: str, e164: str | None) -> None:
    if e164 is None:
        with pytest.raises(InvalidPhone):
            phone.parse(region_num, phone_num)
    else:
        assert phone.parse(region_num, phone_num).e164 == e164


def test_the_table_is_long_and_goes_round_the_world() -> None:
    assert len(WRITTEN) >= 120
    assert len({region for region, _, e164 in WRITTEN if e164}) >= 40


@pytest.mark.parametrize("e164", sorted({e164 for _, _, e164 in WRITTEN if e164}))
def test_e164_alone_is_enough(e164: str) -> None:
    """With its plus, and whatever stands between its digits."""
    expected = phone.Phone(e164, phone.from_e164(e164).region_num)
    spaced = f"{e164[:3]} ({e164[3:6]}) {e164[6:8]}-{e164[8:]}"

    for region_num in (None, ""):
        for typed in (e164, spaced, f"\u2068{e164}\u2069", e164.replace("+", "＋")):
            assert phone.parse(region_num, typed) == expected
    assert phone.parse(expected.region_num, e164) == expected


@pytest.mark.parametrize(
    "typed", ["+881612345678", "+870773111632", "+80012345678", "+97912345678", "+390236618300", "+861380013800", "+"]
)
def test_e164_alone_that_is_no_mobile_is_refused(typed: str) -> None:
    with pytest.raises((InvalidPhone, InvalidField)):
        phone.parse(None, typed)


def test_a_number_without_its_plus_needs_a_region() -> None:
    for typed in ("8613800138000", "008613800138000", 8613800138000):
        with pytest.raises(InvalidField):
            phone.parse(None, typed)


def test_two_calling_codes_that_differ_are_refused() -> None:
    with pytest.raises(InvalidPhone):
        phone.parse(1, "+8613800138000")


INVISIBLE = [
    *(chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"),
    *"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufe00\ufe0e\ufe0f\U000e0100\U000e01ef",
]
BETWEEN = [
    *(chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Zs", "Zl", "Zp", "Pd")),
    *"\t\u2212\u30fc\uff70~\uff5e\u223c\u2053./\uff0e\uff0f\u2044\u00b7\u30fb\uff65\u2022",
]
DIGITS = sorted(
    {ord(chr(code)) - unicodedata.decimal(chr(code), 0) for code in range(0x110000) if chr(code).isdecimal()}
)


@pytest.mark.parametrize("mark", INVISIBLE, ids=lambda mark: f"U+{ord(mark):04X}")
def test_what_cannot_be_seen_is_not_there(mark: str) -> None:
    assert phone.parse(86, f"{mark}{mark.join('13800138000')}{mark}").e164 == "+8613800138000"
    assert phone.parse(None, f"{mark}+{mark}8613800138000").e164 == "+8613800138000"


@pytest.mark.parametrize("mark", BETWEEN, ids=lambda mark: f"U+{ord(mark):04X}")
def test_every_space_and_dash_stands_between_digits(mark: str) -> None:
    assert phone.parse(81, f"090{mark}1234{mark}5601").e164 == "+819012345601"


@pytest.mark.parametrize("zero", DIGITS, ids=lambda zero: f"U+{zero:04X}")
def test_digits_of_every_script_are_digits(zero: int) -> None:
    assert phone.parse(86, "".join(chr(zero + int(digit)) for digit in "13800138000")).e164 == "+8613800138000"


@pytest.mark.parametrize(
    "typed", ["138x00138000", "138;00138000", "138#00138000", "138*00138000", "138²0138000", "𝟙𝟛a"]
)
def test_anything_else_is_no_number(typed: str) -> None:
    with pytest.raises(InvalidPhone):
        phone.parse(86, typed)
