-- The same as teams must write it whose engine can't aggregate an aggregation: the first one goes to a topic and comes
-- back as a source. A window of the second closes when a row of the next one comes.
CREATE UNBOUNDED EXTERNAL TABLE requests (
  time TIMESTAMP, remote_addr VARCHAR, method VARCHAR, uri VARCHAR, status INT, bytes BIGINT,
  referer VARCHAR, user_agent VARCHAR, host VARCHAR, request_time DOUBLE
) STORED AS KAFKA LOCATION '${BROKERS}'
  OPTIONS ('topic' '${TOPICS}', 'format' 'json', 'event_time' 'time', 'lateness' '10 seconds', 'idle_after' 'off');

CREATE VIEW clients AS
SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, user_agent,
       count(*) AS n,
       sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors,
       sum(bytes) AS bytes,
       max(request_time) AS slowest,
       sum(CASE WHEN method = 'POST' THEN 1 ELSE 0 END) AS posts
FROM requests
GROUP BY w, host, remote_addr, user_agent;

COPY (
  SELECT w['end'] - INTERVAL '1 microsecond' AS time, host, remote_addr, user_agent, n, errors, bytes, slowest, posts FROM clients
) TO '${BROKERS}' STORED AS KAFKA OPTIONS ('topic' '${OUT}-clients', 'key' 'host', 'guarantee' 'at_least_once');

CREATE UNBOUNDED EXTERNAL TABLE clients_again_rows (
  time TIMESTAMP, host VARCHAR, remote_addr VARCHAR, user_agent VARCHAR, n BIGINT, errors BIGINT, bytes BIGINT,
  slowest DOUBLE, posts BIGINT
) STORED AS KAFKA LOCATION '${BROKERS}'
  OPTIONS ('topic' '${OUT}-clients', 'format' 'json', 'event_time' 'time', 'idle_after' 'off');

CREATE VIEW clients_again AS
SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, user_agent, max(n) AS n, max(errors) AS errors,
       max(bytes) AS bytes, max(slowest) AS slowest, max(posts) AS posts
FROM clients_again_rows
GROUP BY w, host, remote_addr, user_agent;

CREATE VIEW customers AS
SELECT w, host, avg(n) AS avg_n, stddev(n) AS sd_n,
       avg(CAST(errors AS DOUBLE) / n) AS avg_err, count(*) AS clients
FROM clients_again
GROUP BY w, host;

COPY (
  SELECT c.w, c.host, c.remote_addr, c.user_agent, c.n, c.errors, c.bytes, c.slowest, c.posts,
         c.n / g.avg_n AS n_ratio, g.sd_n, g.avg_err, g.clients
  FROM clients_again c JOIN customers g ON c.w = g.w AND c.host = g.host
) TO '${BROKERS}' STORED AS KAFKA OPTIONS ('topic' '${OUT}', 'key' 'host');
