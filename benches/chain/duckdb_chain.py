"""The chained job by DuckDB, timed in a fresh process: the query alone, interpreter and import not counted.

usage: duckdb_chain.py run LOGS OUT        prints seconds
       duckdb_chain.py check FYKE DUCKDB   compares two results, prints all rows and the differing ones; FYKE is
                                           Parquet, or JSON lines in a file that ends with .json
"""
import sys
import time

import duckdb

QUERY = """
COPY (
  WITH requests AS (
    SELECT * FROM read_json('{logs}', format = 'newline_delimited', columns = {{
      time: 'TIMESTAMP', remote_addr: 'VARCHAR', method: 'VARCHAR', uri: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT',
      referer: 'VARCHAR', user_agent: 'VARCHAR', host: 'VARCHAR', request_time: 'DOUBLE'}})
  ), clients AS (
    SELECT time_bucket(INTERVAL '1 minute', time) AS w, host, remote_addr, user_agent, count(*) AS n,
           sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors, sum(bytes) AS bytes,
           max(request_time) AS slowest, sum(CASE WHEN method = 'POST' THEN 1 ELSE 0 END) AS posts
    FROM requests GROUP BY ALL
  ), customers AS (
    SELECT w, host, avg(n) AS avg_n, stddev(n) AS sd_n, avg(CAST(errors AS DOUBLE) / n) AS avg_err,
           count(*) AS clients
    FROM clients GROUP BY ALL
  )
  SELECT c.w, c.host, c.remote_addr, c.user_agent, c.n, c.errors, c.bytes, c.slowest, c.posts,
         c.n / g.avg_n AS n_ratio, g.sd_n, g.avg_err, g.clients
  FROM clients c JOIN customers g ON c.w = g.w AND c.host = g.host
) TO '{out}' (FORMAT parquet)
"""

KEYS = "w, host, remote_addr, user_agent"
EXACT = ["n", "errors", "bytes", "posts", "clients"]
NEAR = ["slowest", "n_ratio", "sd_n", "avg_err"]


def run(logs, out):
    connection = duckdb.connect(config={"threads": 2})
    started = time.perf_counter()
    connection.execute(QUERY.format(logs=logs, out=out))
    print(f"{time.perf_counter() - started:.4f}")


def check(ours, theirs):
    near = lambda c: f"(a.{c} IS NULL AND b.{c} IS NULL) OR abs(a.{c} - b.{c}) <= greatest(1e-12, 1e-9 * greatest(abs(a.{c}), abs(b.{c})))"
    same = " AND ".join([f"a.{c} IS NOT DISTINCT FROM b.{c}" for c in EXACT] + [f"({near(c)})" for c in NEAR])
    read = "read_json" if ours.endswith(".json") else "read_parquet"
    rows = duckdb.execute(f"""
      WITH a AS (SELECT * REPLACE (w."start"::TIMESTAMP AS w) FROM {read}('{ours}')),
           b AS (SELECT * FROM read_parquet('{theirs}'))
      SELECT count(*), count(*) FILTER (WHERE a.host IS NOT NULL AND b.host IS NOT NULL AND {same})
      FROM a FULL JOIN b ON a.w = b.w AND a.host = b.host AND a.remote_addr IS NOT DISTINCT FROM b.remote_addr
                        AND a.user_agent IS NOT DISTINCT FROM b.user_agent
    """).fetchone()
    print(f"{rows[0]} {rows[0] - rows[1]}")


if __name__ == "__main__":
    {"run": run, "check": check}[sys.argv[1]](*sys.argv[2:4])
