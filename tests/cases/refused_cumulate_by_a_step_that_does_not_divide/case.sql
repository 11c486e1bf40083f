CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT cumulate(time, INTERVAL '10 seconds', INTERVAL '3 seconds') AS w, count(*) FROM requests GROUP BY w;
