WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
SELECT host, status, count(*) AS n, sum(took) AS took FROM requests GROUP BY ALL
