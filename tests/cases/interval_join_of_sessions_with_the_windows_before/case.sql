CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, addr VARCHAR, status INT, bytes BIGINT, took DOUBLE)
STORED AS JSON LOCATION '${CASE}/input.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
CREATE VIEW sessions AS SELECT session(time, INTERVAL '20 seconds') AS w, max(time) AS last, host, addr, count(*) AS n FROM requests GROUP BY w, host, addr;
CREATE VIEW baselines AS SELECT tumble(time, INTERVAL '1 minute') AS w, host, count(*) AS n, count(DISTINCT addr) AS clients FROM requests GROUP BY w, host;
SELECT s.w, s.host, s.addr, s.n, b.w AS bw, b.n AS all FROM sessions s JOIN baselines b ON s.host = b.host AND b.w['end'] <= s.last AND b.w['end'] > s.last - INTERVAL '2 minutes';
