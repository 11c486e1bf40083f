WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
SELECT DISTINCT {'start': time_bucket(INTERVAL '5 minutes', time), 'end': time_bucket(INTERVAL '5 minutes', time) + INTERVAL '5 minutes'} AS w, host, addr FROM requests
