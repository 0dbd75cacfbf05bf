# SPDX-License-Identifier: Apache-2.0
"""What people type, and what it is to us."""

from hashlib import sha256

import pytest

from models import phone
from models.errors import AppError, InvalidField, InvalidPhone


@pytest.mark.parametrize(
    ("region_num", "phone_num", "e164"),
    [
        ("86", "13800138000", "+8613800138000"),
        (86, "13800138000", "+8613800138000"),
        ("+86", "13800138000", "+8613800138000"),
        (" 86 ", " 138 0013 8000 ", "+8613800138000"),
        (86, 13800138000, "+8613800138000"),
        (86, "+86 138-0013-8000", "+8613800138000"),
        (86, "008613800138000", "+8613800138000"),
        (86, "8613800138000", "+8613800138000"),
        (86, "\uff11\uff13\uff18\uff10\uff10\uff11\uff13\uff18\uff10\uff10\uff10", "+8613800138000"),
        (86, "\u0661\u0663\u0668\u0660\u0660\u0661\u0663\u0668\u0660\u0660\u0660", "+8613800138000"),
        (86, "\u202a13800138000\u202c", "+8613800138000"),
        (1, "(201) 555-0123", "+12015550123"),
        (1, "2025550123", "+12025550123"),
        (44, "07911 123456", "+447911123456"),
        (44, "+44 (0)7911 123456", "+447911123456"),
        (44, "07624 300000", "+447624300000"),
        (7, "8 912 345-67-89", "+79123456789"),
        (7, "701 234 5678", "+77012345678"),
        (39, "340 123 4567", "+393401234567"),
        (49, "0151/23456789", "+4915123456789"),
        (852, "5123 4567", "+85251234567"),
    ],
)
def test_a_number_typed_as_at_home_becomes_e164(region_num: object, phone_num: object, e164: str) -> None:
    parsed = phone.parse(region_num, phone_num)

    assert parsed.e164 == e164
    assert e164.startswith(f"+{parsed.region_num}")


@pytest.mark.parametrize(
    ("region_num", "phone_num"),
    [
        (86, "1380013800"),
        (86, "138001380001"),
        (86, "+12025550123"),
        (86, "01012345678"),
        (39, "0236618300"),
        (1, "5005550006"),
        (1, "800 555 0100"),
        (1, "1-800-FLOWERS"),
        (1, "2025550123 ext 5"),
        (1, "2025550123;ext=5"),
        (1, "2025550123#5"),
        (1, "2025550123x5"),
        (86, "tel:13800138000"),
        (86, "call 13800138000"),
        (86, "13800138000\x00"),
        (86, "138\n00138000"),
        (86, "1" * 41),
        (86, "1" * 1_000_000),
        (86, " ".join("13800138000") + " " * 10 + "0" * 20),
        (86, "+"),
        (86, "'; DROP TABLE users"),
        (999, "13800138000"),
        (800, "12345678"),
        (870, "773111632"),
        (881, "612345678"),
        (979, "123456789"),
        (0, "13800138000"),
    ],
)
def test_what_is_no_mobile_number_of_that_country_is_refused(region_num: object, phone_num: object) -> None:
    with pytest.raises(InvalidPhone):
        phone.parse(region_num, phone_num)


@pytest.mark.parametrize("bad", [None, "", "  ", True, 86.0, [], {}, -86, b"86", 10**50])
def test_a_field_of_the_wrong_shape_is_named(bad: object) -> None:
    with pytest.raises(InvalidField) as region:
        phone.parse(bad, "13800138000")
    with pytest.raises(InvalidField) as number:
        phone.parse(86, bad if bad != -86 else -13800138000)

    assert [name for name, _ in region.value.fields] == ["region_num"]
    assert [name for name, _ in number.value.fields] == ["phone_num"]


@pytest.mark.parametrize("bad", ["abc", "8613", "++86", "86 1", "CN", "\u0668\u0666", "86\n1"])
def test_a_region_is_up_to_three_ascii_digits(bad: str) -> None:
    with pytest.raises(InvalidField):
        phone.parse(bad, "13800138000")


def test_both_fields_are_named_at_once() -> None:
    with pytest.raises(InvalidField) as refused:
        phone.parse(None, None)

    assert [name for name, _ in refused.value.fields] == ["region_num", "phone_num"]


def test_a_refusal_repeats_nothing_of_the_number() -> None:
    with pytest.raises(AppError) as refused:
        phone.parse(86, "138001380001")

    assert "13800138" not in f"{refused.value!r} {refused.value.fields}"


def test_the_hash_is_hex_sha256_of_e164_with_its_plus() -> None:
    assert phone.phone_hash("+8613800138000") == sha256(b"+8613800138000").hexdigest()
    assert phone.is_phone_hash(phone.phone_hash("+8613800138000"))


@pytest.mark.parametrize("bad", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "\uff41" * 64])
def test_anything_else_is_no_hash(bad: str) -> None:
    assert not phone.is_phone_hash(bad)


def test_a_stored_number_comes_back_with_its_region() -> None:
    parsed = phone.parse(852, "51234567")

    assert phone.from_e164(parsed.e164) == parsed
    assert "5123" not in repr(parsed)
