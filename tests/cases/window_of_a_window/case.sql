CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
CREATE VIEW clients AS SELECT tumble(time, INTERVAL '1 minute') AS w, host, addr, count(*) AS n, sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors FROM requests GROUP BY w, host, addr;
SELECT tumble(w, INTERVAL '5 minutes') AS v, host, sum(n) AS n, max(n) AS peak, count(*) AS k FROM clients GROUP BY v, host;
