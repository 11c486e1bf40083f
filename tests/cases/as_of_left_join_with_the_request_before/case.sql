CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT a.time, a.host, a.addr, a.status, b.time AS before, b.status AS then FROM requests a ASOF LEFT JOIN requests b MATCH_CONDITION (a.time > b.time) ON a.host = b.host AND a.addr = b.addr;
