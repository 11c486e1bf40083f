CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
CREATE VIEW clients AS SELECT tumble(time, INTERVAL '1 minute') AS w, host, addr, count(*) AS n, sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors FROM requests GROUP BY w, host, addr;
SELECT a.addr, a.n, b.n AS other FROM clients a LEFT JOIN (SELECT * FROM clients WHERE host = 'b.example') b ON a.w['start'] = b.w['start'] AND a.addr = b.addr;
