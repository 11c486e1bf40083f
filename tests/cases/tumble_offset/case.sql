CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT tumble(time, INTERVAL '1 minute', INTERVAL '13 seconds') AS w, count(*) AS n FROM requests GROUP BY 1;
