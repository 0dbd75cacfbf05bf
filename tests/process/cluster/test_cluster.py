# SPDX-License-Identifier: Apache-2.0
"""Two servers on two nodes of one Galera cluster, whose nodes come and go."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import httpx

from tests.process.cluster.conftest import World
from tests.support.harness import BROKEN, Person, Server, wait_until
from tests.support.pictures import png

ROUNDS = 20
BURST = 30
SENDERS = 4
PUSHES = "FROM outbox JOIN messages USING (message_id) WHERE sender_uid = %s AND state"


def at(server: Server, person: Person) -> Person:
    """The same person, talking to another server."""
    return replace(person, server=server)


def pushed(world: World) -> Counter[str]:
    """How often each message was pushed to each phone, by both servers."""
    found: Counter[str] = Counter()
    for server in world.servers:
        log = server.data_dir / "outbox.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            record = json.loads(line)
            found[f"{record['token']} {record['payload'].get('message_id')}"] += 1
    return found


def consumptions(world: World, keys: list[str]) -> Counter[str]:
    """How many events say of each image that it was consumed."""
    rows = world.rows("SELECT data FROM events WHERE type = 'image_consumed'")
    told = Counter(json.loads(str(data))["message_key"] for (data,) in rows)
    return Counter({key: told[key] for key in keys})


def answers(server: Server) -> bool:
    try:
        return server.client.get("/readyz").status_code == 200
    except BROKEN:
        return False


def test_what_one_server_accepts_the_other_hands_over_at_once_and_only_once(world: World) -> None:
    east, west = world.servers
    ann, ben = east.register("Ann"), east.register("Ben", cid="ben")
    with ThreadPoolExecutor(2) as pool:
        keys = []
        for number in range(ROUNDS):
            image = png(number + 1, 3)
            sender, near = (ann, east) if number % 2 else (at(west, ann), west)
            reply = sender.send(ben, image)
            assert reply.status_code == 201, reply.text
            keys.append(reply.headers["message-key"])
            far = west if near is east else east
            assert [item["message_key"] for item in at(far, ben).request("GET", "/v1/inbox").json()["items"]] == keys[
                -1:
            ]
            wait_until(lambda number=number: len(pushed(world)) > number, what="the push")  # type: ignore[misc]
            racing = [pool.submit(at(server, ben).get, keys[-1]) for server in (far, near)]
            assert [fetch.result().content for fetch in racing] == [image, image]
            wait_until(lambda near=near, key=keys[-1]: at(near, ann).status(key)["state"] == "consumed")  # type: ignore[misc]
    assert consumptions(world, keys) == Counter(dict.fromkeys(keys, 1))
    assert len(pushed(world)) == ROUNDS
    assert set(pushed(world).values()) == {1}


def test_no_push_is_sent_by_both_servers(world: World) -> None:
    ann = world.servers[0].register("Ann")
    people = [world.servers[0].register("Ben", cid=f"phone {number}") for number in range(BURST)]
    turns = [(at(server, ann), ben) for ben in people for server in world.servers]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda turn: turn[0].send(turn[1], png(1, 1)), turns))
    assert {reply.status_code for reply in replies} == {201}
    expected = {f"{turn[1].uid} {reply.headers['message-id']}" for turn, reply in zip(turns, replies, strict=True)}
    phones = {f"phone {number}": ben.uid for number, ben in enumerate(people)}

    def told() -> Counter[str]:
        counts = pushed(world).items()
        owned = ((push.rpartition(" "), count) for push, count in counts)
        return Counter({f"{phones[phone]} {number}": count for (phone, _, number), count in owned if phone in phones})

    wait_until(lambda: told().keys() == expected, what="every push")
    assert set(told().values()) == {1}


def test_a_node_that_lags_behind_keeps_its_readers_waiting_rather_than_show_them_what_was(world: World) -> None:
    east, west = world.servers
    ann, ben = east.register("Ann"), east.register("Ben")
    lagging = world.cluster.nodes[1]
    holding = lagging.connect()
    holding.query("FLUSH TABLES WITH READ LOCK")
    with ThreadPoolExecutor(1) as pool:
        try:
            key = ann.send(ben, png(1, 1)).headers["message-key"]
            asked = pool.submit(at(west, ben).request, "GET", "/v1/inbox")
            wait_until(lambda: asked.done() or "credentials" in lagging.running_statements(), what="the question")
        finally:
            holding.close()
        assert [item["message_key"] for item in asked.result(30).json()["items"]] == [key]


def test_an_event_of_one_server_reaches_a_long_poll_on_the_other(world: World) -> None:
    east, west = world.servers
    ann, ben = east.register("Ann"), east.register("Ben")
    with ThreadPoolExecutor(1) as pool:
        cursor = 0
        for _ in range(5):
            waiting = pool.submit(at(west, ben).request, "GET", "/v1/events", params={"after": cursor, "wait": 50})
            wait_until(waiting.running, what="the poll")
            began = time.monotonic()
            key = ann.send(ben, png(2, 2)).headers["message-key"]
            [event] = waiting.result(60).json()["items"]
            assert event["data"]["message_key"] == key
            assert time.monotonic() - began < 25, "it waited for its own end"
            cursor = event["id"]


@dataclass
class Flow:
    """People who send and fetch at a server until they are told to stop; each tries again until there is an answer."""

    server: Server
    sent: dict[str, bytes] = field(default_factory=dict)
    fetched: dict[str, bytes] = field(default_factory=dict)
    refusals: Counter[int] = field(default_factory=Counter)
    wrong: list[BaseException] = field(default_factory=list)
    tries: int = 0

    def run(self, ann: Person, ben: Person, number: int, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self.tries += 1
                image = png(number + 1, self.tries % 200 + 1)
                once = {"Idempotency-Key": f"{self.server.port}-{number}-{self.tries}"}
                reply = self._insist(lambda: ann.send(ben, image, headers=once), 201)  # noqa: B023 - called at once
                key = reply.headers["message-key"]
                self.sent[key] = image
                if self.tries % 2:
                    self.fetched[key] = self._insist(lambda: ben.get(key), 200).content  # noqa: B023
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.wrong.append(error)

    def _insist(self, ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
        deadline = time.monotonic() + 60
        while True:
            try:
                reply = ask()
            except httpx.TransportError:
                self.refusals[0] += 1
            else:
                if reply.status_code == status:
                    return reply
                assert reply.status_code == 503, reply.text
                assert reply.headers["retry-after"]
                self.refusals[503] += 1
            assert time.monotonic() < deadline, "no answer for a minute"
            time.sleep(0.2)


def test_images_flow_while_a_node_dies_and_comes_back(world: World) -> None:
    east, west = world.servers
    ann, ben = east.register("Ann"), east.register("Ben", cid="ben-of-the-flow")
    flows = [Flow(server) for server in (east, west) for _ in range(SENDERS)]
    stop = threading.Event()
    people = [(at(flow.server, ann), at(flow.server, ben)) for flow in flows]
    threads = [
        threading.Thread(target=flow.run, args=(*people[number], number, stop)) for number, flow in enumerate(flows)
    ]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(len(flow.sent) > 3 for flow in flows), what="images in both places")
        node = world.cluster.nodes[1]
        node.kill()
        before = sum(len(flow.sent) for flow in flows[:SENDERS])
        wait_until(
            lambda: sum(len(flow.sent) for flow in flows[:SENDERS]) > before + 20, what="images in the other place"
        )
        node.start()
        after = {id(flow): len(flow.sent) for flow in flows}
        wait_until(
            lambda: all(len(flow.sent) > after[id(flow)] + 3 or flow.wrong for flow in flows), what="images after"
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [flow.wrong for flow in flows if flow.wrong] == []
    sent = {key: image for flow in flows for key, image in flow.sent.items()}
    fetched = {key: image for flow in flows for key, image in flow.fetched.items()}
    [(rows,)] = world.rows("SELECT COUNT(*) FROM messages WHERE sender_uid = %s", ann.uid)
    assert (rows, sum(len(flow.sent) for flow in flows)) == (len(sent), len(sent)), "one image for each Idempotency-Key"
    assert fetched == {key: sent[key] for key in fetched}
    # One that was handed over while the node died may be there still: it is fetched again, never lost.
    waiting = [key for key, count in consumptions(world, list(sent)).items() if not count]
    assert sent.keys() - fetched.keys() <= set(waiting)
    with ThreadPoolExecutor(4) as pool:
        again = pool.map(lambda key: at(west, ben).get(key).content, waiting)
        assert dict(zip(waiting, again, strict=True)) == {key: sent[key] for key in waiting}
    wait_until(lambda: all(consumptions(world, list(sent)).values()), what="every consumption", pause=0.2)
    assert set(consumptions(world, list(sent)).values()) == {1}
    wait_until(lambda: world.rows(f"SELECT 1 {PUSHES} = 'due'", ann.uid) == [], what="the end of every push", pause=0.2)
    told = world.rows(f"SELECT CONCAT('ben-of-the-flow ', message_id) {PUSHES} = 'delivered'", ann.uid)
    assert {push for (push,) in told} <= pushed(world).keys()
    assert world.rows(f"SELECT reason {PUSHES} = 'dead'", ann.uid) == []


def test_a_server_whose_node_has_no_quorum_says_503_and_recovers_by_itself(world: World) -> None:
    east, _ = world.servers
    ann, ben = east.register("Ann"), east.register("Ben")
    first, *others = world.cluster.nodes
    for node in others:
        node.freeze()
    try:
        wait_until(lambda: not first.ready, what="the loss of the quorum")
        reply = ann.send(ben, png(1, 1))
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
        assert east.client.get("/readyz").status_code == 503
        assert east.client.get("/healthz").status_code == 200
    finally:
        for node in others:
            node.thaw()
    world.cluster.wait_until_whole()
    wait_until(lambda: answers(east), what="the server")
    key = ann.send(ben, png(1, 1)).headers["message-key"]
    assert ben.get(key).content == png(1, 1)
