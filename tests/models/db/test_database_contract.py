# SPDX-License-Identifier: Apache-2.0
"""What `Database` promises, of each engine: values, counts, units whole or not at all, nobody told too early."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateTable

from models.db.database import (
    Busy,
    Database,
    DatabaseError,
    InList,
    Statement,
    Transaction,
    UniqueViolation,
    UnitYielded,
    as_list,
)
from models.db.engine import parse_url
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio

Id = BigInteger().with_variant(Integer, "sqlite")
things = Table(
    "things",
    MetaData(),
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("digest", LargeBinary(64)),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("of", Id, ForeignKey("things.id")),
    UniqueConstraint("name", name="things_name"),
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_nopad_bin",
    sqlite_autoincrement=True,
)
INSERT = Statement(insert(things).values(name=bindparam("name"), digest=bindparam("digest"), size=bindparam("size")))
INSERT_PART = Statement(insert(things).values(name=bindparam("name"), of=bindparam("of")))
ALL = Statement(select(things.c.name, things.c.digest, things.c.size).order_by(things.c.id))
NAMED = Statement(select(things.c.id).where(things.c.name == bindparam("name")))
THESE = Statement(select(things.c.id).where(InList(things.c.id, bindparam("ids"))).order_by(things.c.id))
OF_NAMES = Statement(select(things.c.id).where(InList(things.c.name, bindparam("names"))).order_by(things.c.id))
OF_PAIRS = Statement(
    select(things.c.id).where(InList(tuple_(things.c.id, things.c.size), bindparam("pairs"))).order_by(things.c.id)
)
OF_DIGESTS = Statement(select(things.c.id).where(InList(things.c.digest, bindparam("digests"))).order_by(things.c.id))
DELETE_THESE = Statement(delete(things).where(InList(things.c.id, bindparam("ids"))))
ADD = Statement(update(things).values(size=things.c.size + bindparam("more")).where(things.c.name == bindparam("name")))
RESIZE = Statement(update(things).values(size=bindparam("size")).where(things.c.name == bindparam("this")))
SIZE = Statement(select(things.c.size).where(things.c.name == bindparam("name")).with_for_update())
TOTAL = Statement(select(func.coalesce(func.sum(things.c.size), 0)))


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    database = await engine.open()
    dialect = sqlite.dialect() if engine.name == "sqlite" else mysql.dialect()
    engine.execute(str(CreateTable(things).compile(dialect=dialect)))
    yield database
    await database.close()


async def put(db: Database, name: str, digest: bytes | None = None, size: int = 0) -> int:
    async def unit(tx: Transaction) -> int:
        return (await tx.execute(INSERT, name=name, digest=digest, size=size)).last_id

    return await db.write(unit)


@given(
    name=st.text(st.characters(codec="utf-8"), max_size=200),
    digest=st.none() | st.binary(max_size=64),
    size=st.integers(-(2**63), 2**63 - 1),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_values_come_back_as_they_went(
    db: Database, engine: Engine, name: str, digest: bytes | None, size: int
) -> None:
    engine.execute("DELETE FROM things")
    await put(db, name, digest, size)
    assert await db.read(ALL) == [(name, digest, size)]


async def test_what_looks_like_sql_stays_a_value(db: Database) -> None:
    evil = "'); DROP TABLE things; -- \\' \" %s %(name)s \x00\x1a\n🦋"
    here = await put(db, evil)
    assert await db.read(NAMED, name=evil) == [(here,)]
    assert await db.read(OF_NAMES, names=as_list([evil, "'"])) == [(here,)]


async def test_lists_of_numbers_texts_and_bytes(db: Database) -> None:
    ids = [await put(db, f"n{n}", bytes([n, 39, 92, 37])) for n in range(5)]
    assert await db.read(THESE, ids=as_list([])) == []
    assert await db.read(THESE, ids=as_list([*ids[:2], 10**15])) == [(ids[0],), (ids[1],)]
    assert await db.read(OF_NAMES, names=as_list(["n3", "N3", "n4 "])) == [(ids[3],)]
    assert await db.read(OF_DIGESTS, digests=as_list([bytes([4, 39, 92, 37])])) == [(ids[4],)]

    async def unit(tx: Transaction) -> int:
        return (await tx.execute(DELETE_THESE, ids=as_list(ids[1:]))).count

    assert await db.write(unit) == 4
    assert [name for name, *_ in await db.read(ALL)] == ["n0"]


async def test_lists_of_pairs(db: Database) -> None:
    ids = [await put(db, f"n{n}", size=n) for n in range(4)]
    assert await db.read(OF_PAIRS, pairs=as_list([])) == []
    pairs = [(ids[1], 1), (ids[2], 3), (ids[3], 3), (10**15, 1)]
    assert await db.read(OF_PAIRS, pairs=as_list(pairs)) == [(ids[1],), (ids[3],)]


async def test_counts_are_of_rows_that_were_found(db: Database) -> None:
    await put(db, "a", size=7)

    async def unit(tx: Transaction) -> list[int]:
        same = await tx.execute(RESIZE, this="a", size=7)
        none = await tx.execute(RESIZE, this="b", size=7)
        return [same.count, none.count]

    assert await db.write(unit) == [1, 0]


async def test_ids_rise_and_sums_are_whole_numbers(db: Database) -> None:
    first, second = await put(db, "a", size=2**40), await put(db, "b", size=1)
    assert second > first > 0
    [(total,)] = await db.read(TOTAL)
    assert (total, type(total)) == (2**40 + 1, int)


@pytest.mark.parametrize("params", [{}, {"name": "a", "other": 1}])
async def test_parameters_must_be_the_statements_own(db: Database, params: dict[str, str | int]) -> None:
    with pytest.raises(TypeError):
        await db.read(NAMED, **params)


async def test_a_unit_reads_its_own_writes_and_others_do_not_before_the_commit(db: Database) -> None:
    seen: list[int] = []

    async def unit(tx: Transaction) -> None:
        await tx.execute(INSERT, name="a", digest=None, size=0)
        seen.append(len(await tx.read(ALL)))

    await db.write(unit)
    assert seen == [1]
    assert len(await db.read(ALL)) == 1


async def test_what_a_unit_raises_undoes_it_and_reaches_its_caller(db: Database) -> None:
    class Refused(Exception):
        pass

    async def unit(tx: Transaction) -> None:
        await tx.execute(INSERT, name="a", digest=None, size=0)
        raise Refused

    with pytest.raises(Refused):
        await db.write(unit)
    assert await db.read(ALL) == []


async def test_a_unique_violation_can_be_caught_and_the_unit_goes_on(db: Database) -> None:
    await put(db, "a")

    async def unit(tx: Transaction) -> str:
        await tx.execute(INSERT, name="b", digest=None, size=0)
        try:
            await tx.execute(INSERT, name="a", digest=None, size=0)
        except UniqueViolation:
            await tx.execute(INSERT, name="c", digest=None, size=0)
        return "went on"

    assert await db.write(unit) == "went on"
    assert [name for name, *_ in await db.read(ALL)] == ["a", "b", "c"]


async def test_one_that_is_not_caught_undoes_the_unit(db: Database) -> None:
    await put(db, "a")

    async def unit(tx: Transaction) -> None:
        await tx.execute(INSERT, name="b", digest=None, size=0)
        await tx.execute(INSERT, name="a", digest=None, size=0)

    with pytest.raises(UniqueViolation):
        await db.write(unit)
    assert [name for name, *_ in await db.read(ALL)] == ["a"]


async def test_another_broken_rule_of_the_schema_undoes_the_unit(db: Database) -> None:
    async def unit(tx: Transaction) -> None:
        await tx.execute(INSERT, name="a", digest=None, size=0)
        await tx.execute(INSERT_PART, name="b", of=10**9)

    with pytest.raises(DatabaseError) as refusal:
        await db.write(unit)
    assert not isinstance(refusal.value, UniqueViolation | Busy)
    assert await db.read(ALL) == []


async def test_a_unit_that_awaits_anything_else_is_undone(db: Database) -> None:
    async def unit(tx: Transaction) -> None:
        await tx.execute(INSERT, name="a", digest=None, size=0)
        await asyncio.sleep(0)

    with pytest.raises(UnitYielded):
        await db.write(unit)
    await put(db, "b")
    assert [name for name, *_ in await db.read(ALL)] == ["b"]


async def test_a_bulk_statement_is_refused_inside_a_unit(db: Database) -> None:
    bulk = Statement(select(things.c.id), bulk=True)

    async def unit(tx: Transaction) -> None:
        await tx.read(bulk)

    with pytest.raises(TypeError):
        await db.write(unit)
    assert await db.read(bulk) == []


async def test_a_caller_that_goes_away_does_not_undo_a_unit_that_has_begun(db: Database, engine: Engine) -> None:
    begun = asyncio.Event()

    async def unit(tx: Transaction) -> None:
        begun.set()
        await tx.execute(INSERT, name="a", digest=None, size=0)

    writing = asyncio.create_task(db.write(unit))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await db.close()  # waits for what has begun
    other = await engine.open()
    assert [name for name, *_ in await other.read(ALL)] == ["a"]
    await other.close()


async def test_units_at_once_lose_nothing_of_each_other(db: Database) -> None:
    """Read, then write what was read and one more: whoever has read waits for whoever has read before."""
    await put(db, "counter")

    async def unit(tx: Transaction) -> None:
        [(size,)] = await tx.read(SIZE, name="counter")
        await tx.execute(RESIZE, this="counter", size=size + 1)

    await asyncio.gather(*(db.write(unit) for _ in range(60)))
    assert await db.read(TOTAL) == [(60,)]


async def test_units_that_lock_each_other_out_are_run_again(db: Database) -> None:
    await put(db, "a")
    await put(db, "b")

    def crossing(first: str, second: str) -> asyncio.Future[None]:
        async def unit(tx: Transaction) -> None:
            await tx.execute(ADD, name=first, more=1)
            await tx.execute(ADD, name=second, more=1)

        return asyncio.ensure_future(db.write(unit))

    await asyncio.gather(*(crossing(*pair) for pair in [("a", "b"), ("b", "a")] * 20))
    assert await db.read(TOTAL) == [(80,)]


async def test_whoever_listens_hears_of_whom_a_commit_has_touched(db: Database) -> None:
    told: list[set[int]] = []
    db.tell(told.append)

    async def touching(tx: Transaction) -> None:
        await tx.execute(INSERT, name="a", digest=None, size=0)
        tx.touched.update({3, 4})

    async def refused(tx: Transaction) -> None:
        tx.touched.add(5)
        raise DatabaseError

    await db.write(touching)
    with pytest.raises(DatabaseError):
        await db.write(refused)
    await put(db, "b")
    assert told == [{3, 4}]


async def test_after_its_end_a_database_refuses(db: Database) -> None:
    await put(db, "a")
    await db.close()
    with pytest.raises(Busy):
        await db.read(ALL)
    with pytest.raises(Busy):
        await put(db, "b")


async def test_two_open_databases_see_each_other(db: Database, engine: Engine) -> None:
    other = await engine.open()
    try:
        await put(db, "a")
        assert [name for name, *_ in await other.read(ALL)] == ["a"]
        await put(other, "b")
        assert [name for name, *_ in await db.read(ALL)] == ["a", "b"]
    finally:
        await other.close()


def test_no_secret_of_a_url_is_shown() -> None:
    location = parse_url("mysql://somebody:s3cret@127.0.0.1:3307/name")
    assert "s3cret" not in f"{location!r} {location}"


@pytest.mark.parametrize(
    "url",
    ["mysql://h/n", "mysql://u:s3cret@h", "mysql://u:s3cret@h:x/n", "mysql://u:s3cret@h/n?x=s3cret", "mysql:u"]
    + [f"mysql://u:s3cret@h/n?pool_size={size}" for size in ("", "0", "x", "1001", "-1")],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(must be|has an option|pool_size must)") as refusal:
        parse_url(url)
    assert "s3cret" not in str(refusal.value)
