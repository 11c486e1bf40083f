WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
, marked AS (SELECT *, CASE WHEN time - lag(time) OVER (PARTITION BY host, addr ORDER BY time) <= INTERVAL '20 seconds' THEN 0 ELSE 1 END AS fresh FROM requests),
numbered AS (SELECT *, sum(fresh) OVER (PARTITION BY host, addr ORDER BY time ROWS UNBOUNDED PRECEDING) AS number FROM marked)
SELECT {'start': min(time), 'end': max(time) + INTERVAL '20 seconds'} AS w, host, addr, count(*) AS n, CAST(sum(bytes) AS BIGINT) AS bytes, avg(took) AS took, count(DISTINCT status) AS u FROM numbered GROUP BY host, addr, number
