CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT hop(time, INTERVAL '60 seconds', INTERVAL '20 seconds') AS w, host, count(*) AS n, avg(took) AS took FROM requests GROUP BY w, host;
