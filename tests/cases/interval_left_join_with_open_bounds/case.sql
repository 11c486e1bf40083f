CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT a.time AS at, b.time AS before, a.host, a.addr, b.addr AS other FROM requests a LEFT JOIN requests b ON a.host = b.host AND a.addr <> b.addr AND a.status = b.status AND b.time < a.time AND b.time > a.time - INTERVAL '4 seconds';
