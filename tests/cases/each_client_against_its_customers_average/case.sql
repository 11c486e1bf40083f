CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
CREATE VIEW clients AS SELECT tumble(time, INTERVAL '1 minute') AS w, host, addr, count(*) AS n, sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors FROM requests GROUP BY w, host, addr;
CREATE VIEW customers AS SELECT w, host, avg(n) AS mean, stddev(n) AS sd, avg(CAST(errors AS DOUBLE) / n) AS errors, count(*) AS k FROM clients GROUP BY w, host;
SELECT c.w, c.host, c.addr, c.n / g.mean AS ratio, g.sd, g.errors, g.k FROM clients c JOIN customers g ON c.w = g.w AND c.host = g.host;
