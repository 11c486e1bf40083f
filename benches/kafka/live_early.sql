-- Early rows: what is known of each client of the open minute, again whenever it has changed.
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
  SELECT w, host, remote_addr, user_agent, n, errors, bytes, slowest, posts, CAST(errors AS DOUBLE) / n AS error_share
  FROM clients
) TO '${BROKERS}' STORED AS KAFKA
  OPTIONS ('topic' '${OUT}', 'guarantee' 'at_least_once', 'emit' 'update', 'every' '10 milliseconds');
