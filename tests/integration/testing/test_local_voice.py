"""The local Discord's voice gateway by hand: RESUME with missed frames, heartbeats, close codes, take-over.

``test_voice.py`` uses it through discord.py, which never does some of this.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from tones import needs_voice

from discordha.testing import LocalDiscord

pytestmark = needs_voice

MODE = "aead_xchacha20_poly1305_rtpsize"


class Client:
    """One gateway session of the bot, and the voice sockets that it opens."""

    def __init__(self, http: aiohttp.ClientSession, discord: LocalDiscord, trust: ssl.SSLContext) -> None:
        self.http = http
        self.discord = discord
        self.trust = trust
        self.session_id = ""
        self.gateway: aiohttp.ClientWebSocketResponse
        self.state: dict[str, Any] = {}
        self.server: dict[str, Any] = {}
        self.sockets: list[aiohttp.ClientWebSocketResponse] = []
        self.transports: list[Any] = []

    async def login(self, name: str) -> None:
        self.gateway = await self.connect(self.discord.gateway_url(name))
        await self.gateway.send_json(
            {"op": 2, "d": {"token": self.discord.token, "intents": 129, "properties": {}}}
        )
        self.session_id = (await self.event("READY"))["session_id"]

    async def connect(self, url: str) -> aiohttp.ClientWebSocketResponse:
        ws = await self.http.ws_connect(url, ssl=self.trust)
        self.sockets.append(ws)
        self.transports.append(ws.get_extra_info("socket"))
        return ws

    async def event(self, name: str) -> dict[str, Any]:
        while True:
            frame = await self.gateway.receive_json(timeout=10)
            if frame["t"] == name:
                data: dict[str, Any] = frame["d"]
                return data

    async def join(self, channel_id: int | None) -> None:
        guild_id = self.discord.guild_ids[0]
        await self.gateway.send_json({"op": 4, "d": {"guild_id": guild_id, "channel_id": channel_id}})
        if channel_id is not None:
            self.state = await self.event("VOICE_STATE_UPDATE")
            self.server = await self.event("VOICE_SERVER_UPDATE")

    async def open(self) -> aiohttp.ClientWebSocketResponse:
        ws = await self.connect(f"wss://{self.server['endpoint']}/?v=8")
        hello = await ws.receive_json(timeout=10)
        assert hello["op"] == 8
        assert hello["d"]["heartbeat_interval"] > 1000
        return ws

    def credentials(self, **changes: Any) -> dict[str, Any]:
        data = {
            "server_id": self.server["guild_id"],
            "user_id": str(self.discord.bot_id),
            "session_id": self.session_id,
            "token": self.server["token"],
            "max_dave_protocol_version": 1,
        }
        return {**data, **changes}

    async def identify(self, ws: aiohttp.ClientWebSocketResponse) -> tuple[dict[str, Any], dict[str, Any]]:
        """READY, and SESSION DESCRIPTION's whole frame."""
        await ws.send_json({"op": 0, "d": self.credentials()})
        ready = (await ws.receive_json(timeout=10))["d"]
        assert MODE in ready["modes"]
        data = {"address": "127.0.0.1", "port": 9, "mode": MODE}
        await ws.send_json({"op": 1, "d": {"protocol": "udp", "data": data}})
        return ready, await ws.receive_json(timeout=10)


@asynccontextmanager
async def clients(discord: LocalDiscord) -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    trust = ssl.create_default_context(cafile=discord.env()["SSL_CERT_FILE"])
    made: list[Client] = []
    async with aiohttp.ClientSession() as http:

        async def make(name: str) -> Client:
            client = Client(http, discord, trust)
            await client.login(name)
            made.append(client)
            return client

        yield make
        for client in made:
            for ws in client.sockets:
                await ws.close()
    sockets = [socket for client in made for socket in client.transports]
    while any(each is not None and each.fileno() != -1 for each in sockets):
        await asyncio.sleep(0.01)


async def close_code(ws: aiohttp.ClientWebSocketResponse) -> int | None:
    while True:
        message = await ws.receive(timeout=10)
        if message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}:
            return ws.close_code


def packet(ready: dict[str, Any], key: bytes, number: int, opus: bytes) -> bytes:
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

    header = struct.pack(">BBHII", 0x80, 0x78, number, number * 960, ready["ssrc"])
    counter = struct.pack(">I", number)
    return (
        header + crypto_aead_xchacha20poly1305_ietf_encrypt(opus, header, counter + bytes(20), key) + counter
    )


def test_resume_heartbeats_and_sound(local_discord: LocalDiscord) -> None:
    async def run() -> None:
        async with clients(local_discord) as make:
            client = await make("r0")
            await client.join(local_discord.voice_channel_ids[0])
            assert client.state["session_id"] == client.session_id
            ws = await client.open()
            ready, described = await client.identify(ws)
            assert described["op"] == 4
            assert described["d"]["dave_protocol_version"] == 0
            key = bytes(described["d"]["secret_key"])
            await ws.send_json({"op": 3, "d": {"t": 12345, "seq_ack": described["seq"]}})
            while (answer := await ws.receive_json(timeout=10))["op"] != 6:
                assert answer["op"] == 11
                connects = answer
            assert answer["d"] == {"t": 12345}
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(10)
                udp.connect((ready["ip"], ready["port"]))
                udp.send(struct.pack(">HHI", 1, 70, ready["ssrc"]) + bytes(66))
                found = await asyncio.to_thread(udp.recv, 100)
                assert found[:8] == struct.pack(">HHI", 2, 70, ready["ssrc"])
                assert found[8:].partition(b"\0")[0] == b"127.0.0.1"
                assert struct.unpack(">H", found[-2:])[0] == udp.getsockname()[1]
                udp.send(packet(ready, key, 1, b"before it speaks"))
                await ws.send_json({"op": 5, "d": {"speaking": 1, "delay": 0, "ssrc": ready["ssrc"]}})
                # The socket breaks; frames after the acknowledged one come again.
                await ws.close(code=4000)
                ws = await client.open()
                await ws.send_json({"op": 7, "d": {**client.credentials(), "seq_ack": described["seq"]}})
                assert (await ws.receive_json(timeout=10))["op"] == 9
                assert await ws.receive_json(timeout=10) == connects
                udp.send(packet(ready, key, 2, b"heard"))
                udp.send(packet(ready, bytes(32), 3, b"with another key"))
                while not (await asyncio.to_thread(local_discord.voice_sessions))[0]["undecodable"]:
                    await asyncio.sleep(0.01)
            (session,) = local_discord.voice_sessions()
            assert (session["resumed"], session["acknowledged"], session["replica"]) == (1, 1, "r0")
            assert len(session["rejected"]) == 1
            (recording,) = local_discord.voice_recordings()
            assert [(each.sequence, each.opus) for each in recording.packets] == [(2, b"heard")]
            await client.join(None)
            assert await close_code(ws) == 4014
            assert (await client.event("VOICE_STATE_UPDATE"))["channel_id"] is None

    asyncio.run(run())


def test_a_second_session_takes_over(local_discord: LocalDiscord) -> None:
    async def run() -> None:
        async with clients(local_discord) as make:
            one, two = await make("r0"), await make("r1")
            await one.join(local_discord.voice_channel_ids[0])
            first = await one.open()
            await one.identify(first)
            await two.join(local_discord.voice_channel_ids[0])
            assert two.server["token"] != one.server["token"]
            assert (await one.event("VOICE_STATE_UPDATE"))["session_id"] == two.session_id
            assert await close_code(first) == 4014
            again = await one.open()
            await again.send_json({"op": 0, "d": one.credentials()})
            assert await close_code(again) == 4006
            second = await two.open()
            await two.identify(second)
            # The replica dies, and with its gateway session the voice state.
            await two.gateway.close(code=1000)
            while (await asyncio.to_thread(local_discord.voice_sessions))[1]["ended"] is None:
                await asyncio.sleep(0.05)
            assert await close_code(second) == 4014

    asyncio.run(run())


def test_sound_sent_before_a_take_over_is_recorded(local_discord: LocalDiscord) -> None:
    """Even if the server stood still and finds both at once."""

    async def run() -> None:
        async with clients(local_discord) as make:
            one, two = await make("r0"), await make("r1")
            await one.join(local_discord.voice_channel_ids[0])
            ws = await one.open()
            ready, described = await one.identify(ws)
            key = bytes(described["d"]["secret_key"])
            await ws.send_json({"op": 5, "d": {"speaking": 1, "delay": 0, "ssrc": ready["ssrc"]}})
            while not (await asyncio.to_thread(local_discord.voice_sessions))[0]["speaking"]:
                await asyncio.sleep(0.01)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.connect((ready["ip"], ready["port"]))
                local_discord.pause()
                for number in range(100):
                    udp.send(packet(ready, key, number, b"heard"))
                data = {
                    "guild_id": local_discord.guild_ids[0],
                    "channel_id": local_discord.voice_channel_ids[0],
                }
                await two.gateway.send_json({"op": 4, "d": data})
                local_discord.resume()
            assert await close_code(ws) == 4014
            first, second = await asyncio.to_thread(local_discord.voice_sessions)
            assert (first["packets"], first["rejected"]) == (100, [])
            assert first["last"] < second["began"]

    asyncio.run(run())


CODES: list[tuple[list[Any], int]] = [
    (["not json"], 4002),
    ([{"op": 5, "d": {}}], 4003),
    ([{"op": 0, "d": {"token": "wrong"}}], 4004),
    ([{"op": 0, "d": {"session_id": "wrong"}}], 4006),
    ([{"op": 0, "d": {}}, {"op": 0, "d": {}}], 4005),
    ([{"op": 0, "d": {}}, {"op": 99, "d": {}}], 4001),
    ([{"op": 3, "d": 12345}], 4020),
    ([{"op": 0, "d": {}}, {"op": 1, "d": {"protocol": "tcp", "data": {}}}], 4012),
    ([{"op": 0, "d": {}}, {"op": 1, "d": {"protocol": "udp", "data": {"mode": "none"}}}], 4016),
    ([{"op": 7, "d": {"session_id": "wrong"}}], 4006),
]


def test_close_codes(local_discord: LocalDiscord) -> None:
    async def run() -> None:
        async with clients(local_discord) as make:
            client = await make("r0")
            await client.join(local_discord.voice_channel_ids[0])
            for frames, code in CODES:
                ws = await client.open()
                for frame in frames:
                    if isinstance(frame, str):
                        await ws.send_str(frame)
                    elif frame["op"] in {0, 7}:
                        await ws.send_json({"op": frame["op"], "d": client.credentials(**frame["d"])})
                    else:
                        await ws.send_json(frame)
                assert await close_code(ws) == code, frames

    asyncio.run(run())
