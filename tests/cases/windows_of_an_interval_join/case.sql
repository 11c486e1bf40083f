CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
CREATE VIEW pairs AS SELECT a.time AS seen, b.time AS bt, a.host FROM requests a LEFT JOIN requests b ON a.host = b.host AND a.addr = b.addr AND b.time > a.time AND b.time <= a.time + INTERVAL '15 seconds';
SELECT tumble(seen, INTERVAL '1 minute') AS w, host, count(*) AS n, count(bt) AS followed FROM pairs GROUP BY w, host;
