WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
SELECT {'start': CAST(date_trunc('month', time) AS TIMESTAMP), 'end': CAST(date_trunc('month', time) + INTERVAL '1 month' AS TIMESTAMP)} AS w, host, count(*) AS n FROM requests GROUP BY ALL
