WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'})),
marked AS (SELECT *, CASE WHEN time - lag(time) OVER (PARTITION BY host, addr ORDER BY time) <= INTERVAL '20 seconds' THEN 0 ELSE 1 END AS fresh FROM requests),
numbered AS (SELECT *, sum(fresh) OVER (PARTITION BY host, addr ORDER BY time ROWS UNBOUNDED PRECEDING) AS number FROM marked),
sessions AS (SELECT {'start': min(time), 'end': max(time) + INTERVAL '20 seconds'} AS w, max(time) AS last, host, addr, count(*) AS n FROM numbered GROUP BY host, addr, number),
baselines AS (SELECT {'start': time_bucket(INTERVAL '1 minute', time), 'end': time_bucket(INTERVAL '1 minute', time) + INTERVAL '1 minute'} AS w, host, count(*) AS n, count(DISTINCT addr) AS clients FROM requests GROUP BY ALL)
SELECT s.w, s.host, s.addr, s.n, b.w AS bw, b.n AS all FROM sessions s JOIN baselines b ON s.host = b.host AND b.w.end <= s.last AND b.w.end > s.last - INTERVAL '2 minutes'
