WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
, marked AS (SELECT *, CASE WHEN time - lag(time) OVER (ORDER BY time) <= INTERVAL '5 seconds' THEN 0 ELSE 1 END AS fresh FROM requests),
numbered AS (SELECT *, sum(fresh) OVER (ORDER BY time ROWS UNBOUNDED PRECEDING) AS number FROM marked)
SELECT {'start': min(time), 'end': max(time) + INTERVAL '5 seconds'} AS w, count(*) AS n FROM numbered GROUP BY number
