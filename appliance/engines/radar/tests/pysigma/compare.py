#!/usr/bin/env python3
"""Compares radar's matches with pySigma's SQLite backend over the same rules and events.

    compare.py RULES EVENTS MATCHES DIFFERENCES

RULES is a folder of Sigma rules, EVENTS a file of JSON objects without nesting, one a line, MATCHES what
`radar match --rules RULES --routing none EVENTS` wrote. DIFFERENCES lists what is explained: lines `RULE-ID REASON`,
`~TEXT REASON` for rules whose query holds a text, `!TEXT REASON` for rules that the backend refuses with a text (`_`
for a blank). Ends with 1 where a difference is explained by none of them.

pySigma and its backend are installed into a virtual environment under the cache (`SENT_CACHE`) at first use.
"""
import collections
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import venv

CACHE = pathlib.Path(os.environ.get("SENT_CACHE", pathlib.Path.home() / ".cache/sent")) / "pysigma"


def enter_venv():
    """Runs this script again inside the environment, made where there is none."""
    python = CACHE / "bin/python"
    if pathlib.Path(sys.prefix).resolve() == CACHE.resolve():
        return
    if not python.exists():
        venv.create(CACHE, with_pip=True)
    if subprocess.run([python, "-c", "import sigma.backends.sqlite"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", "pysigma", "pysigma-backend-sqlite"], check=True)
    os.execv(python, [str(python), *sys.argv])


def queries(folder):
    """Gives (rule id, query or None, error) for each rule."""
    from sigma.backends.sqlite import sqliteBackend
    from sigma.collection import SigmaCollection

    for path in sorted(pathlib.Path(folder).rglob("*.yml")):
        try:
            rules = SigmaCollection.from_yaml(path.read_text())
        except Exception as error:  # whatever pySigma cannot parse is a difference to explain
            yield path.stem, None, f"{type(error).__name__}: {error}"
            continue
        for rule in rules.rules:
            name = str(rule.id)
            try:
                for query in sqliteBackend().convert(SigmaCollection([rule])):
                    yield name, query, None
            except Exception as error:
                yield name, None, f"{type(error).__name__}: {error}"


def database(events):
    """The events as a table `logs`; SQLite takes 2,000 columns, which is enough for what these events have."""
    base = sqlite3.connect(":memory:")
    base.create_function("regexp", 2, lambda pattern, text: text is not None and re.search(pattern, str(text)) is not None)
    names = {}
    for event in events:
        for key in event:
            names.setdefault(key.lower(), key)
    listed = list(names.values())
    # Sigma compares text without case; `=` does so only in columns of this collation.
    quoted = ", ".join('"' + name.replace('"', '""') + '" COLLATE NOCASE' for name in listed)
    base.execute(f'CREATE TABLE logs ("__event", {quoted})')
    marks = ", ".join("?" for _ in range(len(listed) + 1))
    for number, event in enumerate(events):
        by_name = {key.lower(): value for key, value in event.items()}
        row = [by_name.get(name.lower()) for name in listed]
        row = [json.dumps(value) if isinstance(value, (dict, list)) else value for value in row]
        base.execute(f"INSERT INTO logs VALUES ({marks})", [number, *row])
    return base


def ask(base, query):
    """The events a query finds; a column that no event has is NULL in all of them."""
    query = re.sub(r"FROM\s+\S+\s+WHERE", "FROM logs WHERE", query, count=1).replace("SELECT *", "SELECT __event", 1)
    for _ in range(100):
        try:
            return {row[0] for row in base.execute(query)}
        except sqlite3.OperationalError as error:
            missing = re.match(r"no such column: (.*)", str(error))
            if not missing:
                raise
            name = missing[1].strip('"`[]')
            base.execute('ALTER TABLE logs ADD COLUMN "' + name.replace('"', '""') + '" COLLATE NOCASE')
    raise RuntimeError("too many missing columns")


def main():
    rules, events, matches, explained = sys.argv[1:5]
    lines = [json.loads(line) for line in open(events, encoding="utf-8")]
    ours = collections.defaultdict(set)
    for line in open(matches, encoding="utf-8"):
        match = json.loads(line)
        ours[match["rule_id"]].add(match["event"])
    reasons, texts = {}, []
    for line in open(explained, encoding="utf-8"):
        line = line.strip()
        if line and not line.startswith("#"):
            key, _, reason = line.partition(" ")
            if key[0] in "~!":
                texts.append((key[0], key[1:].replace("_", " "), reason))
            else:
                reasons[key] = reason
    base = database(lines)
    base.execute("PRAGMA case_sensitive_like = OFF")
    asked, same, listed, unexplained = 0, 0, collections.Counter(), []
    theirs = collections.defaultdict(set)
    failed, texts_of = {}, collections.defaultdict(str)
    for rule, query, error in queries(rules):
        asked += 1
        if error:
            failed[rule] = error
            continue
        texts_of[rule] += query
        try:
            theirs[rule] |= ask(base, query)
        except sqlite3.Error as error:
            failed[rule] = f"{type(error).__name__}: {error}"
    for rule in sorted(set(ours) | set(theirs) | set(failed)):
        if rule in failed and not ours[rule]:
            listed["not converted, and nothing found here"] += 1
            continue
        if rule not in failed and ours[rule] == theirs[rule]:
            same += 1
            continue
        reason = reasons.get(rule) or next(
            (why for kind, text, why in texts if text in (failed.get(rule, "") if kind == "!" else texts_of[rule])), None)
        if reason:
            listed[reason] += 1
        else:
            unexplained.append((rule, len(ours[rule] - theirs[rule]), len(theirs[rule] - ours[rule]), failed.get(rule)))
            print(f"{rule}: only ours {sorted(ours[rule] - theirs[rule])[:3]}, only theirs "
                  f"{sorted(theirs[rule] - ours[rule])[:3]} {failed.get(rule, '')}\n    {texts_of[rule][:600]}")
    pairs = sum(map(len, theirs.values()))
    print(f"{asked} rules asked of {len(lines)} events: {pairs} matches there, {sum(map(len, ours.values()))} here; "
          f"{same} rules agree, {sum(listed.values())} differ as listed, {len(unexplained)} unexplained")
    for reason, count in listed.most_common():
        print(f"  {count:5} {reason}")
    return bool(unexplained)


if __name__ == "__main__":
    enter_venv()
    sys.exit(main())
