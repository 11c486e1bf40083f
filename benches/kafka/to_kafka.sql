-- The chained job of benches/chain, from Kafka to Kafka.
CREATE UNBOUNDED EXTERNAL TABLE requests (
  time TIMESTAMP, remote_addr VARCHAR, method VARCHAR, uri VARCHAR, status INT, bytes BIGINT,
  referer VARCHAR, user_agent VARCHAR, host VARCHAR, request_time DOUBLE
) STORED AS KAFKA LOCATION '${BROKERS}'
  OPTIONS ('topic' 'logs.shop-alpha,logs.news-beta,logs.bank-gamma,logs.travel-delta', 'format' 'json', 'event_time' 'time', 'lateness' '10 seconds');

CREATE VIEW clients AS
SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, user_agent,
       count(*) AS n,
       sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS errors,
       sum(bytes) AS bytes,
       max(request_time) AS slowest,
       sum(CASE WHEN method = 'POST' THEN 1 ELSE 0 END) AS posts
FROM requests
GROUP BY w, host, remote_addr, user_agent;

CREATE VIEW customers AS
SELECT w, host, avg(n) AS avg_n, stddev(n) AS sd_n,
       avg(CAST(errors AS DOUBLE) / n) AS avg_err, count(*) AS clients
FROM clients
GROUP BY w, host;

COPY (
  SELECT c.w, c.host, c.remote_addr, c.user_agent, c.n, c.errors, c.bytes, c.slowest, c.posts,
         c.n / g.avg_n AS n_ratio, g.sd_n, g.avg_err, g.clients
  FROM clients c JOIN customers g ON c.w = g.w AND c.host = g.host
) TO '${BROKERS}' STORED AS KAFKA OPTIONS ('topic' '${OUT}', 'key' 'host');
