"""Writes expected.jsonl of every case that has a duckdb.sql: `python expect.py` with the package duckdb installed.

The query runs in the case's folder; columns come as DuckDB gives them, windows as {start, end} structs of timestamps.
"""
import datetime
import json
import os
import pathlib

import duckdb


def plain(value):
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{value.microsecond:06d}" if value.microsecond else "") + "Z"
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


for query in sorted(pathlib.Path(__file__).parent.glob("*/duckdb.sql")):
    os.chdir(query.parent)
    result = duckdb.sql(query.read_text())
    names = [column[0] for column in result.description]
    rows = [json.dumps(dict(zip(names, map(plain, row)))) for row in result.fetchall()]
    pathlib.Path("expected.jsonl").write_text("".join(row + "\n" for row in rows))
    print(query.parent.name, len(rows))
