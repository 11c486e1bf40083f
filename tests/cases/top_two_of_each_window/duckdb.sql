WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
, clients AS (SELECT {'start': time_bucket(INTERVAL '1 minute', time), 'end': time_bucket(INTERVAL '1 minute', time) + INTERVAL '1 minute'} AS w, host, addr, count(*) AS n, sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors FROM requests GROUP BY ALL)
SELECT w, host, addr, n FROM (SELECT *, row_number() OVER (PARTITION BY w, host ORDER BY n DESC, addr) AS r FROM clients) WHERE r <= 2
