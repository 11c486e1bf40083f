CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT e.time AS at, n.time AS then, e.host, e.addr, e.status AS failed, n.status FROM requests e JOIN requests n ON e.host = n.host AND e.addr = n.addr AND n.time > e.time AND n.time <= e.time + INTERVAL '30 seconds' WHERE e.status >= 400 AND n.status < 400;
