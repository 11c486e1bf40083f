CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT a.time AS at, b.time AS bt, a.addr, b.addr AS other, a.bytes AS ab, b.bytes AS bb FROM (SELECT * FROM requests WHERE host = 'a.example') a FULL JOIN (SELECT * FROM requests WHERE host = 'b.example') b ON a.bytes % 7 = b.bytes % 7 AND b.time BETWEEN a.time - INTERVAL '25 seconds' AND a.time + INTERVAL '40 seconds';
