# SPDX-License-Identifier: Apache-2.0
"""Three machines for real (`make prove-cluster`): every part in turn is killed, hung and cut off while people send.

Three servers with a data directory each, on a node each of a Galera cluster of three, with their images in one
SeaweedFS, woken by one Valkey or Redis, behind the nginx of docs/nginx.md. Everything runs on loopback; ways can be cut
between nginx and a server, a server and its node, the servers and the store, the servers and the wake-ups, and as root,
in a network namespace of its own, between the nodes.

`python -m tests.process.cluster.proof [--go-on] [PART …]`: about twelve minutes for all parts. With --go-on it may
succeed although this machine cannot part nodes.
"""

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from models.keys import dump_key_ring, new_key_ring
from tests.process.cluster.galera import Cluster, Node
from tests.process.cluster.gate import Gate
from tests.process.test_uploads import PIECE, TUS, metadata
from tests.support.harness import Person, Server, phone_number, wait_until
from tests.support.pictures import jpeg, png
from tests.support.proxies import PATH, blocks
from tests.support.seaweed import Seaweed, as_config
from tests.support.wake_server import WakeServer

DATABASE = "glimpse_proof"
FLOWS = 6
PAUSE = 0.1
HELD_SECONDS = 20.0
"""How long a part hangs or is cut off, and nearly how long a killed one is away."""
INSIST_SECONDS = 120.0
IN_PIECES_BYTES = 50_000
AWAY = frozenset({502, 503, 504})
"""After these a client asks again."""
GO_ON = "--go-on"
TOOLS = ("unshare", "ip", "iptables")
"""What it takes to part nodes."""
PUSHES = """
    SELECT devices.token, deliveries.message_id, outbox.state FROM deliveries
    JOIN devices ON devices.uid = deliveries.receiver_uid
    LEFT JOIN outbox ON outbox.message_id = deliveries.message_id AND outbox.device_id = devices.device_id
"""
PORTS = {"10.0.0.1:8080": 0, "10.0.0.2:8080": 1, "10.0.0.3:8080": 2}


class Nginx:
    """The one of docs/nginx.md, without TLS, in front of these ports."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        block = blocks("nginx")[0].replace("listen 443 ssl;", f"listen 127.0.0.1:{self.port};")
        block = re.sub(r"\n *ssl_certificate[^\n]*", "", block)
        for place, number in PORTS.items():
            block = block.replace(place, f"127.0.0.1:{ports[number]}")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        head = f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        (folder / "nginx.conf").write_text(
            f"{head}events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}{block}}}\n"
        )
        self.start()

    def start(self) -> None:
        program = shutil.which("nginx", path=PATH)
        assert program
        conf, log = str(self.folder / "nginx.conf"), str(self.folder / "error.log")
        self.process = subprocess.Popen([program, "-p", str(self.folder), "-c", conf, "-e", log])
        wait_until(lambda: self.process.poll() is not None or self._answers(), what="nginx")
        if self.process.poll() is not None:
            raise RuntimeError("nginx has ended")

    def _answers(self) -> bool:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@dataclass
class Machines:
    """All parts, and the ways between them."""

    cluster: Cluster
    store: Seaweed
    wake: WakeServer
    servers: list[Server]
    nginx: Nginx
    to_servers: list[Gate]
    to_nodes: list[Gate]
    to_store: Gate
    to_wake: Gate

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = self.cluster.nodes[0].connect(DATABASE)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def pid(self, part: str) -> int:
        process = {
            "server": self.servers[0].process,
            "store": self.store._process,
            "wake-ups": self.wake._process,
            "nginx": self.nginx.process,
        }.get(part)
        return process.pid if process else self.cluster.nodes[0].pid


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    """All of them, started; ended with the block."""
    with ExitStack() as stack:
        cluster = Cluster()
        stack.callback(cluster.close)
        with closing(cluster.nodes[0].connect()) as connection:
            connection.query(f"CREATE DATABASE {DATABASE}")
        store, wake = Seaweed(), WakeServer()
        stack.callback(store.close)
        stack.callback(wake.close)
        to_store, to_wake = Gate(lambda: store.port), Gate(lambda: wake.port)
        to_nodes = [Gate(lambda node=node: node.port) for node in cluster.nodes]  # type: ignore[misc]
        for gate in (to_store, to_wake, *to_nodes):
            stack.callback(gate.close)
        settings = {
            "storage": as_config(store.settings(endpoint=f"http://127.0.0.1:{to_store.port}")),
            "wake": {"url": wake.url.replace(f":{wake.port}", f":{to_wake.port}")},
            "limits": {"enabled": False},
            "inbox": {"max_pending": 10**6, "max_pending_bytes": 10**12},
            "retention": {"interval_seconds": 1},
        }
        ring = dump_key_ring(new_key_ring())
        servers = []
        for number, (node, gate) in enumerate(zip(cluster.nodes, to_nodes, strict=True)):
            url = node.url(DATABASE).replace(f":{node.port}/", f":{gate.port}/")
            own = folder / f"machine{number}"
            own.mkdir()
            server = Server(own, {**settings, "database": {"url": url}})
            server.data_dir.mkdir(0o700)
            (server.data_dir / "keys.json").write_text(ring)
            (server.data_dir / "keys.json").chmod(0o600)
            servers.append(server.start())
            stack.callback(lambda server=server: server.process.poll() is None and server.kill())  # type: ignore[misc]
        to_servers = [Gate(lambda server=server: server.port) for server in servers]  # type: ignore[misc]
        for gate in to_servers:
            stack.callback(gate.close)
        (folder / "nginx").mkdir()
        nginx = Nginx(folder / "nginx", [gate.port for gate in to_servers])
        stack.callback(nginx.kill)
        yield Machines(cluster, store, wake, servers, nginx, to_servers, to_nodes, to_store, to_wake)


@dataclass
class Front:
    """What people call: nginx."""

    client: httpx.Client


@dataclass
class Flow:
    """Somebody who sends images to another and to the group of three, and beside them texts and images in pieces; all
    try again until there is an answer. `done` are the moments at which an image had been taken, fetched and
    acknowledged, `said` those of texts, `in_pieces` of images in pieces. `anew` counts uploads that had to begin again.
    """

    number: int
    port: int
    stop: threading.Event
    over: threading.Event = field(default_factory=threading.Event)
    images: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    fetched: Counter[tuple[str, int]] = field(default_factory=Counter)
    texts: set[int] = field(default_factory=set)
    done: list[float] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    in_pieces: list[float] = field(default_factory=list)
    anew: int = 0
    seen: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=20)
        self.ann, self.ben, self.cem = (self._join(name) for name in ("Ann", "Ben", "Cem"))
        self.group = self.ann.begin_group(self.ben, self.cem)

    def _join(self, name: str) -> Person:
        body = {"region_num": "86", "phone_num": phone_number(), "nickname": name, "cid": f"{name}{self.number}"}
        reply = self._insist(lambda: self.client.post("/v1/register", json=body), 201)
        return Person(Front(self.client), **reply.json())  # type: ignore[arg-type]

    @property
    def told(self) -> set[int]:
        """The messages that were accepted."""
        return {message_id for _, message_id in self.images.values()} | self.texts

    @property
    def work(self) -> tuple[Callable[[], None], ...]:
        """What it does beside each other until `stop`."""
        kinds = ((self._send, self.done, 1), (self._chat, self.said, 3), (self._send_in_pieces, self.in_pieces, 5))
        return tuple(partial(self._run, *kind) for kind in kinds)

    def _run(self, do: Callable[[int], None], moments: list[float], pauses: int) -> None:
        turn = 0
        try:
            while not self.stop.is_set():
                turn += 1
                do(turn)
                moments.append(time.monotonic())
                time.sleep(pauses * PAUSE)
        except Exception as error:  # noqa: BLE001 - told at the end
            self.wrong.append(f"flow {self.number}: {error!r}")

    def _chat(self, turn: int) -> None:
        """Texts, which need no store."""
        body = {"kind": "text", "text": f"{turn}", "receiver_uid": self.ben.uid}
        once = {"Idempotency-Key": f"text-{self.number}-{turn}"}
        reply = self._insist(lambda: self.ann.request("POST", "/v1/messages", json=body, headers=once), 201)
        self.texts.add(int(reply.json()["message_id"]))

    def follow(self) -> None:
        """Ben's log by long poll, without a gap."""
        cursor = 0
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=30
        ) as client:
            while not self.over.is_set():
                try:
                    reply = client.get("/v1/events", params={"after": cursor, "wait": 5}, auth=self.ben.auth)
                except httpx.TransportError:
                    time.sleep(0.2)
                    continue
                if reply.status_code != 200:
                    time.sleep(0.2)
                    continue
                for event in reply.json()["items"]:
                    if event["id"] != cursor + 1:
                        self.wrong.append(f"after event {cursor} came {event['id']}")
                    cursor = event["id"]
                    if about := event["data"].get("message_id"):
                        self.seen.add(about)

    def _send(self, turn: int) -> None:
        once = {"Idempotency-Key": f"{self.number}-{turn}"}
        image = png(self.number + 1, turn % 200 + 1)
        to_group = turn % 2 == 0
        place = {"group_id": str(self.group)} if to_group else {"receiver_uid": str(self.ben.uid)}
        files = {"img_file": ("x.png", image, "image/png")}
        reply = self._insist(lambda: self.ann.request("POST", "/v1/images", data=place, files=files, headers=once), 201)
        key = reply.headers["message-key"]
        self.images[key] = image, int(reply.headers["message-id"])
        for person in (self.ben, self.cem) if to_group else (self.ben,):
            self.fetch(person, key)

    def _send_in_pieces(self, turn: int) -> None:
        """One image in two requests or more, each on the machine that nginx takes."""
        image = jpeg(IN_PIECES_BYTES + turn)
        upload = self._begin(turn, len(image))
        while True:
            told = self._insist(partial(self.ann.request, "HEAD", upload, headers=TUS), 200, 404)
            offset = int(told.headers.get("Upload-Offset", 0))
            end = len(image) // 2 if offset < len(image) // 2 else len(image)
            said = {**PIECE, "Upload-Offset": str(offset)}
            send = partial(self.ann.request, "PATCH", upload, headers=said, content=image[offset:end])
            reply = told if told.status_code == 404 else self._insist(send, 204, 404, 409)
            if key := reply.headers.get("Message-Key"):
                self.images[key] = image, int(reply.headers["Message-Id"])
                self.fetch(self.ben, key)
                return
            if reply.status_code == 404:
                self.anew += 1
                upload = self._begin(turn, len(image))

    def _begin(self, turn: int, length: int) -> str:
        about = {"Upload-Length": str(length), "Upload-Metadata": metadata({"receiver_uid": self.ben.uid})}
        once = {**TUS, **about, "Idempotency-Key": f"pieces-{self.number}-{turn}-{self.anew}"}
        begun = self._insist(lambda: self.ann.request("POST", "/v1/uploads", headers=once), 201)
        return str(begun.headers["Location"])

    def fetch(self, person: Person, key: str) -> None:
        got = self._insist(lambda: person.get(key, params={"ack": "manual"}), 200)
        if got.content != self.images[key][0]:
            self.wrong.append(f"{key} is another image")
        self._insist(lambda: person.request("DELETE", f"/v1/images/{key}"), 204)
        self.fetched[key, person.uid] += 1

    def _insist(self, ask: Callable[[], httpx.Response], *statuses: int) -> httpx.Response:
        deadline = time.monotonic() + INSIST_SECONDS
        while True:
            try:
                reply = ask()
            except httpx.TransportError:
                self.refused[0] += 1
            else:
                if reply.status_code in statuses:
                    return reply
                self.refused[reply.status_code] += 1
                assert reply.status_code in AWAY, reply.text
            assert time.monotonic() < deadline, f"no answer within {INSIST_SECONDS:.0f} s"
            time.sleep(0.2)


def faults(all_: Machines) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """What is done to each part, and what undoes it."""
    server, node = all_.servers[0], all_.cluster.nodes[0]
    kills: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "server": (server.kill, server.start),
        "database node": (node.kill, again(node.start)),
        "store": (all_.store.kill, again(all_.store.start)),
        "wake-ups": (all_.wake.kill, again(all_.wake.start)),
        "nginx": (all_.nginx.kill, again(all_.nginx.start)),
    }
    ways = {
        "server": all_.to_servers[0],
        "database node": all_.to_nodes[0],
        "store": all_.to_store,
        "wake-ups": all_.to_wake,
    }
    found = {}
    for part, kill in kills.items():
        found[f"{part} killed"] = kill
        found[f"{part} hangs"] = (
            lambda part=part: _signal(all_.pid(part), signal.SIGSTOP),  # type: ignore[misc]
            lambda part=part: _signal(all_.pid(part), signal.SIGCONT),  # type: ignore[misc]
        )
        if part in ways:
            found[f"{part} cut off"] = ways[part].cut, ways[part].mend
    if is_network_own():
        one, *others = all_.cluster.nodes
        found["one node parted"] = parting([(one, other) for other in others])
        found["all nodes parted"] = parting(list(combinations(all_.cluster.nodes, 2)))
    return found


def parting(pairs: list[tuple[Node, Node]]) -> tuple[Callable[[], object], Callable[[], object]]:
    """Drop what these nodes send to each other; and let it through again."""

    def change(how: str) -> None:
        for one, other in pairs:
            for source, target in ((one, other), (other, one)):
                rule = ["INPUT", "-s", source.address, "-d", target.address, "-j", "DROP"]
                subprocess.run(["iptables", "-w", how, *rule], check=True)

    return partial(change, "-A"), partial(change, "-D")


def is_network_own() -> bool:
    """Whether this process is in a network namespace where nothing but loopback is."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def enter_own_network() -> None:
    """Begin again in one, where this machine can do that; rules there touch nobody else."""
    if os.geteuid() or not all(shutil.which(tool) for tool in TOOLS):
        print("nodes are not parted from each other: that needs root, unshare, ip and iptables", flush=True)
        return
    again = [sys.executable, "-m", "tests.process.cluster.proof", *sys.argv[1:]]
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *again])


def again(start: Callable[[], object]) -> Callable[[], object]:
    """Until it succeeds: while a part is away, a connection of somebody else may have been given its port."""

    def insist() -> None:
        for _ in range(30):
            with suppress(RuntimeError):
                start()
                return
            time.sleep(1)
        raise AssertionError(f"{start} did not succeed in 30 tries")

    return insist


def _signal(pid: int, number: int) -> None:
    os.kill(pid, number)


def longest_gap(moments: list[float], start: float, end: float) -> float:
    return max(
        later - earlier
        for earlier, later in pairwise([start, *(at for at in sorted(moments) if start < at < end), end])
    )


def inflict(name: str, do: Callable[[], object], undo: Callable[[], object], flows: list[Flow]) -> None:
    """Do it, hold it, undo it, and print how people fared."""
    began = time.monotonic()
    do()
    time.sleep(HELD_SECONDS)
    undo()
    undone = time.monotonic()
    while not all((flow.done and flow.done[-1] > undone) or flow.wrong for flow in flows):
        time.sleep(0.05)
    recovered = time.monotonic()
    # What had begun before it was undone may end after: all are well when each has done something more.
    gaps = [longest_gap(flow.done, began, recovered) for flow in flows]
    all_of_them = longest_gap([at for flow in flows for at in flow.done], began, recovered)
    done = sum(began < at < undone for flow in flows for at in flow.done)
    said = sum(began < at < undone for flow in flows for at in flow.said)
    print(
        f"{name:24} {done:4} images, {said:4} texts; longest wait of all {all_of_them:4.1f} s, of one"
        f" {max(gaps):4.1f} s, of half {statistics.median(gaps):4.1f} s; all well after {recovered - undone:4.1f} s",
        flush=True,
    )


def verdict(all_: Machines, flows: list[Flow]) -> int:
    """Look at what is left, and print how much of it is wrong."""
    images = {key: message_id for flow in flows for key, (_, message_id) in flow.images.items()}
    texts = {message_id for flow in flows for message_id in flow.texts}
    stored = {number for (number,) in all_.rows("SELECT message_id FROM messages")}
    told = {*images.values(), *texts}
    wait_until(lambda: not all_.rows("SELECT 1 FROM outbox WHERE state = 'due' LIMIT 1"), what="every push", pause=0.5)
    pushed: Counter[tuple[str, int]] = Counter()
    for server in all_.servers:
        log = server.data_dir / "outbox.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            record = json.loads(line)
            if record["payload"].get("message_id"):
                pushed[record["token"], record["payload"]["message_id"]] += 1
    missing = [row for row in all_.rows(PUSHES) if row[2] is None or row[2] == "dead"]
    missing += [row for row in all_.rows(PUSHES) if row[2] == "delivered" and row[:2] not in pushed]
    consumed = Counter(
        (json.loads(str(data))["message_key"], json.loads(str(data))["receiver_uid"])
        for (data,) in all_.rows("SELECT data FROM events WHERE type = 'image_consumed'")
    )
    twice = [key for key, count in consumed.items() if count > 1]
    unconsumed = all_.rows(
        "SELECT 1 FROM deliveries JOIN messages USING (message_id) WHERE state = 'pending' AND exist"
    )
    figures = {
        "images": len(images),
        "in pieces": sum(len(flow.in_pieces) for flow in flows),
        "texts": len(texts),
        "lost": len(told - stored)
        + sum(key not in {each for each, _ in flow.fetched} for flow in flows for key in flow.images),
        "more than sent": len(stored - told),
        "not taken": len(unconsumed),
        "consumed twice": len(twice),
        "pushes missing": len(missing),
        "pushes repeated": sum(pushed.values()) - len(pushed),
        "events missing": sum(len(flow.told - flow.seen) for flow in flows),
        "uploads begun anew": sum(flow.anew for flow in flows),
        "wrong": [line for flow in flows for line in flow.wrong],
        "refused": dict(sum((flow.refused for flow in flows), Counter())),
    }
    print(json.dumps(figures), flush=True)
    wrong = ("lost", "more than sent", "not taken", "consumed twice", "pushes missing", "events missing", "wrong")
    return int(any(figures[name] for name in (*wrong, "uploads begun anew")))


def main() -> int:
    """0 when nothing was lost, missing or done twice."""
    if not is_network_own():
        enter_own_network()
    wished = [word for word in sys.argv[1:] if word != GO_ON]
    with TemporaryDirectory() as folder, machines(Path(folder)) as all_:
        stop = threading.Event()
        wait_until(
            lambda: httpx.get(f"http://127.0.0.1:{all_.nginx.port}/readyz", trust_env=False, verify=False).is_success
        )
        flows = [Flow(number, all_.nginx.port, stop) for number in range(FLOWS)]
        senders = [threading.Thread(target=work) for flow in flows for work in flow.work]
        followers = [threading.Thread(target=flow.follow) for flow in flows]
        for thread in (*senders, *followers):
            thread.start()
        try:
            inflict("nothing", lambda: None, lambda: None, flows)
            for name, (do, undo) in faults(all_).items():
                if not wished or any(wish in name for wish in wished):
                    inflict(name, do, undo, flows)
                    all_.cluster.wait_until_whole()
        finally:
            stop.set()
            for thread in senders:
                thread.join()
            with suppress(AssertionError):  # what is missing then is in the verdict
                wait_until(lambda: all(flow.told <= flow.seen for flow in flows), what="the last events")
            for flow in flows:
                flow.over.set()
            for thread in followers:
                thread.join()
        return verdict(all_, flows) or int(not is_network_own() and GO_ON not in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
