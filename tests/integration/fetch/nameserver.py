"""A name server on loopback, over UDP and TCP, that answers and misbehaves as a test tells it to."""

import asyncio
import socket
import struct

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from spyder.settings import DnsSection


class NameServer:
    """Answers from *zone*: by name, and where families differ by ``name/AAAA``.

    What stands there is a list of records (``"A 60 192.0.2.1"``, ``"CNAME 60 other.test"``; the whole chain is given in
    one answer), or one of ``servfail``, ``refused``, ``silent``, ``garbage``, ``truncated RECORD`` (whole over TCP
    only), ``forged RECORD`` (an answer with another number comes first), ``other RECORD`` (so does one to another
    question), or a tuple of such things: one for each question, the last one again and again. There is no other name.
    """

    def __init__(self, **zone):
        self.zone = {name.lower(): answer for name, answer in zone.items()}
        self.questions = []  # "name/TYPE", with "/tcp" over TCP
        self.ids = []
        self.ports = []
        self.asked = asyncio.Event()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", self.port))
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        return self

    async def __aexit__(self, *_):
        self._udp.close()
        self._tcp.close()
        await asyncio.sleep(0)

    def settings(self, **more):
        return DnsSection(servers=(f"127.0.0.1:{self.port}",), **more)

    async def _serve(self, reader, writer):
        try:
            size, = struct.unpack("!H", await reader.readexactly(2))
            for wire in self.answers(await reader.readexactly(size), over_tcp=True):
                writer.write(struct.pack("!H", len(wire)) + wire)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answers(self, wire, *, over_tcp=False):
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions.append(f"{name}/{kind}" + ("/tcp" if over_tcp else ""))
        self.ids.append(query.id)
        self.asked.set()
        key = f"{name}/{kind}".lower() if f"{name}/{kind}".lower() in self.zone else name
        answer = self.zone.get(key, "nxdomain")
        if isinstance(answer, tuple):
            answer, self.zone[key] = answer[0], answer[1:] if len(answer) > 2 else answer[1]
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if isinstance(answer, list):
            return [self._filled(response, name, kind, answer).to_wire()]
        word, _, record = answer.partition(" ")
        match word:
            case "nxdomain" | "servfail" | "refused":
                response.set_rcode(dns.rcode.from_text(word))
                return [response.to_wire()]
            case "silent":
                return []
            case "garbage":
                return [wire[:2] + b"\x81\x80" + b"\xff" * 40, b"", b"\0" * 700]
            case "truncated":
                if not over_tcp:
                    response.flags |= dns.flags.TC
                    return [response.to_wire()]
                return [self._filled(response, name, kind, [record]).to_wire()]
            case "forged" | "other":
                good = self._filled(response, name, kind, [record]).to_wire()
                bad = dns.message.make_response(query)
                if word == "other":
                    bad = dns.message.make_response(dns.message.make_query("bank.test", kind, id=query.id))
                self._filled(bad, name if word == "forged" else "bank.test", kind, [f"{kind} 60 192.0.2.66"])
                bad.id = query.id ^ (1 if word == "forged" else 0)
                return [bad.to_wire(), good]
        raise AssertionError(answer)

    @staticmethod
    def _filled(response, name, kind, records):
        owner = f"{name}."
        for record in records:
            found, ttl, value = record.split()
            if found == "CNAME":
                response.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", found, f"{value}."))
                owner = f"{value}."
            elif found == kind:
                last = response.answer[-1] if response.answer else None
                rrset = dns.rrset.from_text(owner, int(ttl), "IN", found, value)
                if last is not None and last.match(rrset.name, rrset.rdclass, rrset.rdtype, rrset.covers):
                    last.update(rrset)
                else:
                    response.answer.append(rrset)
        return response


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server):
        self._server = server

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, source):
        self._server.ports.append(source[1])
        for wire in self._server.answers(data):
            self._transport.sendto(wire, source)
