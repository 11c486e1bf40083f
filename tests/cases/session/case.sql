CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT session(time, INTERVAL '20 seconds') AS w, host, addr, count(*) AS n, sum(bytes) AS bytes, avg(took) AS took, count(DISTINCT status) AS u FROM requests GROUP BY w, host, addr;
