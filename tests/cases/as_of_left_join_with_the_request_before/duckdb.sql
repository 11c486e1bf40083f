WITH requests AS (SELECT * FROM read_json('input.json', format = 'newline_delimited', columns = {time: 'TIMESTAMP', host: 'VARCHAR', addr: 'VARCHAR', status: 'INTEGER', bytes: 'BIGINT', took: 'DOUBLE'}))
SELECT a.time, a.host, a.addr, a.status, b.time AS before, b.status AS then FROM requests a ASOF LEFT JOIN requests b ON a.host = b.host AND a.addr = b.addr AND a.time > b.time
