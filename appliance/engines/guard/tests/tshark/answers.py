#!/usr/bin/env python3
"""What tshark reads in the captures: answers.py FOLDER > answers.tsv

One line a distinct answer: capture, kind (sni, alpn, dns, certificate, ja4), value. Certificates are their SHA-256. The
tshark of Debian 12 has no JA4 of its own: it is computed here from the fields of the hellos it takes apart, by the
published description and independently of the code under test.
"""

import hashlib
import os
import subprocess
import sys

FIELDS = """frame.number frame.protocols tls.handshake.type tls.handshake.extensions_server_name
dtls.handshake.extensions_server_name tls.handshake.extensions_alpn_str dtls.handshake.extensions_alpn_str dns.qry.name
tls.handshake.certificate dtls.handshake.certificate tls.handshake.version
tls.handshake.extensions.supported_version tls.handshake.ciphersuite tls.handshake.extension.type
tls.handshake.sig_hash_alg tls.handshake.sig_hash_alg_len dns.flags.response""".split()
SUFFIXES = (".pcap", ".pcapng", ".cap", ".gz")
VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}


def run(capture):
    """tshark's fields, one line a frame."""
    command = ["tshark", "-n", "-r", capture, "-Y", "tls.handshake || dtls.handshake || dns || mdns || llmnr", "-T", "fields"]
    command += ["-E", "occurrence=a", "-E", "aggregator=|", "-E", "separator=/t"]
    for field in FIELDS:
        command += ["-e", field]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def numbers(text):
    return [int(part, 0) for part in text.split("|") if part]


def meaningful(values):
    return [value for value in values if not (value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF)]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def ja4(row):
    """Of a frame with exactly one TLS ClientHello, else None."""
    if row["tls.handshake.type"].split("|") != ["1"]:
        return None
    versions = meaningful(numbers(row["tls.handshake.extensions.supported_version"]))
    versions = versions or numbers(row["tls.handshake.version"])
    ciphers = sorted(meaningful(numbers(row["tls.handshake.ciphersuite"])))
    kinds = meaningful(numbers(row["tls.handshake.extension.type"]))
    alpn = row["tls.handshake.extensions_alpn_str"].split("|")[0]
    ends = (alpn[0] + alpn[-1]) if alpn else "00"
    if alpn and not (alpn[0].isalnum() and alpn[-1].isalnum()):
        raw = alpn.encode().hex()
        ends = raw[0] + raw[-1]
    tail = ",".join(f"{kind:04x}" for kind in sorted(k for k in kinds if k not in (0, 16)))
    signatures = ",".join(f"{value:04x}" for value in meaningful(signature_algorithms(row, kinds)))
    if tail and signatures:
        tail += "_" + signatures
    transport = "q" if "quic" in row["frame.protocols"] else "t"
    head = transport + VERSIONS.get(max(versions, default=0), "00") + ("d" if 0 in kinds else "i")
    head += f"{min(len(ciphers), 99):02}{min(len(kinds), 99):02}{ends}"
    return f"{head}_{digest(','.join(f'{c:04x}' for c in ciphers))}_{digest(tail)}"


def signature_algorithms(row, kinds):
    """Those of extension 13 alone: delegated credentials (34) and certificates' algorithms (50) fill the same fields."""
    values = numbers(row["tls.handshake.sig_hash_alg"])
    lengths = numbers(row["tls.handshake.sig_hash_alg_len"])
    for kind, length in zip((kind for kind in kinds if kind in (13, 34, 50)), lengths):
        count = length // 2
        if kind == 13:
            return values[:count]
        values = values[count:]
    return []


def answers(output):
    """The distinct answers in tshark's output."""
    found = set()
    for line in output.decode("utf-8", "replace").split("\n"):
        parts = line.split("\t")
        if len(parts) != len(FIELDS):
            continue
        row = dict(zip(FIELDS, parts))
        for kind, fields in {
            "sni": ["tls.handshake.extensions_server_name", "dtls.handshake.extensions_server_name"],
            "alpn": ["tls.handshake.extensions_alpn_str", "dtls.handshake.extensions_alpn_str"],
            "dns": ["dns.qry.name"],
        }.items():
            for field in fields:
                found |= {(kind, value) for value in row[field].split("|") if value}
        for field in ["tls.handshake.certificate", "dtls.handshake.certificate"]:
            for value in row[field].split("|"):
                if value:
                    found.add(("certificate", hashlib.sha256(bytes.fromhex(value.replace(":", ""))).hexdigest()))
        fingerprint = ja4(row)
        if fingerprint:
            found.add(("ja4", fingerprint))
    return found


def main():
    folder = sys.argv[1]
    names = (os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    for capture in sorted(os.path.relpath(name, folder) for name in names if name.endswith(SUFFIXES)):
        for kind, value in sorted(answers(run(os.path.join(folder, capture)))):
            print(capture, kind, value, sep="\t")


if __name__ == "__main__":
    main()
