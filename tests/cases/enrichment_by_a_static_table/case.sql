CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
SELECT tumble(time, INTERVAL '5 minutes') AS w, t.name, count(*) AS n FROM requests r LEFT JOIN (VALUES ('a.example', 'alpha')) AS t(host, name) ON r.host = t.host GROUP BY w, t.name;
