#!/usr/bin/env python3
"""Compares what guard reads in certificates with OpenSSL: certificates.py GUARD FOLDER

Subject and issuer are compared by their values, names, serial number, validity and key size as they are.
"""

import hashlib
import json
import os
import subprocess
import sys

from answers import SUFFIXES, run, FIELDS


def openssl(der):
    """OpenSSL's reading, or None."""
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-serial", "-startdate", "-enddate", "-text"]
    done = subprocess.run(command + ["-certopt", "no_sigdump"], input=der, capture_output=True)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def main():
    guard, folder = sys.argv[1:3]
    ours, ders = {}, {}
    for where, _, names in os.walk(folder):
        for name in (name for name in names if name.endswith(SUFFIXES)):
            capture = os.path.join(where, name)
            lines = subprocess.run([guard, "read", "--json", capture], capture_output=True).stdout.splitlines()
            tls = [json.loads(line).get("tls", {}) for line in lines if b'"sha256"' in line]
            for facts in tls:
                for certificate in facts.get("certificates", []) + facts.get("client_certificates", []):
                    ours[certificate["sha256"]] = certificate
            if not tls:
                continue
            for line in run(capture).decode("utf-8", "replace").split("\n"):
                row = dict(zip(FIELDS, line.split("\t")))
                for field in ["tls.handshake.certificate", "dtls.handshake.certificate"]:
                    for value in row.get(field, "").split("|"):
                        der = bytes.fromhex(value.replace(":", ""))
                        ders[hashlib.sha256(der).hexdigest()] = der
    wrong = 0
    both = [(sha256, der) for sha256, der in ders.items() if sha256 in ours]
    for sha256, der in both:
        text, certificate = openssl(der), ours[sha256]
        if text is None:
            print(f"{sha256}: OpenSSL cannot read it; ours {certificate['subject']!r}")
            continue
        serial = text.split("serial=")[1].split("\n")[0].lower().lstrip("0")
        names = [part.strip()[4:] for line in text.split("\n") if "DNS:" in line for part in line.split(",") if part.strip().startswith("DNS:")]
        dates = [text.split(key)[1].split("\n")[0] for key in ("notBefore=", "notAfter=")]
        epochs = [int(subprocess.check_output(["date", "-u", "-d", date, "+%s"])) for date in dates]
        bits = text.split("Public-Key: (")[1].split(" ")[0] if "Public-Key: (" in text else ""
        checks = {
            "serial": certificate["serial"].lstrip("0") == serial,
            "names": set(names) <= set(certificate.get("names", [])) or len(names) > 64,
            "validity": [certificate["not_before"], certificate["not_after"]] == epochs,
            "key": not bits or certificate["key"].split("-")[-1] == bits,
        }
        for what in (what for what, right in checks.items() if not right):
            wrong += 1
            print(f"{sha256}: {what} differs; ours {certificate}")
    print(f"{len(both)} certificates compared, {wrong} differences", file=sys.stderr)


if __name__ == "__main__":
    main()
