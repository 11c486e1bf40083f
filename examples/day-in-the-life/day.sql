-- A day in the life: from the access logs of several customers to verdicts about their clients, in one file.
--
--   cargo xtask servers up kafka opensearch
--   fyke run examples/day-in-the-life/day.sql --checkpoint state --checkpoint-every 1s \
--     --set LOGS=logs --set KAFKA=127.0.0.1:PORT --set SEARCH=http://127.0.0.1:PORT --set OUT=verdicts

-- 1. What is wrong is kept: records that can't be read in a topic, rows that come too late in a folder.

CREATE EXTERNAL TABLE dead STORED AS KAFKA LOCATION '${KAFKA}' OPTIONS ('topic' 'dead', 'create_topics' 'true');
CREATE EXTERNAL TABLE late STORED AS PARQUET LOCATION '${OUT}/late/';

-- 2. What a log shipper does elsewhere: lines of LOGS/CUSTOMER.log, as they grow, go to the customer's own topic.
--    Leave it out where your topics are filled already.

CREATE UNBOUNDED EXTERNAL TABLE files STORED AS REQUESTS LOCATION '${LOGS}/*.log' OPTIONS ('event_time' 'time');
COPY (SELECT time, client_ip, method, path, status, bytes, referrer, agent, customer FROM files)
  TO '${KAFKA}' STORED AS KAFKA
  OPTIONS ('topic' 'logs.{customer}', 'key' 'client_ip', 'create_topics' 'true', 'create_partitions' '2');

-- 3. Requests: every topic logs.CUSTOMER, and those that appear while this runs. A customer has a watermark of its own.

CREATE UNBOUNDED EXTERNAL TABLE requests (
    time TIMESTAMP, customer VARCHAR, client_ip VARCHAR, method VARCHAR, path VARCHAR, status INT, bytes BIGINT,
    referrer VARCHAR, agent VARCHAR)
  STORED AS KAFKA LOCATION '${KAFKA}'
  OPTIONS ('topic_pattern' 'logs\.(?<customer>.+)', 'discover_every' '1 second', 'event_time' 'time',
           'lateness' '10 seconds', 'dead_to' 'dead', 'late_to' 'late');

-- 4. Behaviour: what each client did in a minute.

CREATE VIEW clients AS
SELECT
  tumble(time, INTERVAL '1 minute') AS w, customer, client_ip,
  count(*) AS requests,
  unique(path) AS paths,
  gap_cv(time) AS unevenness,
  sum(bytes) AS bytes,
  avg(CASE WHEN status >= 400 THEN 1.0 ELSE 0.0 END) AS errors,
  avg(CASE WHEN path_class(path) = 'asset' THEN 1.0 ELSE 0.0 END) AS assets,
  count(*) FILTER (WHERE is_attack_path(path)) AS attacks,
  max(CASE WHEN agent_is_declared_bot(coalesce(agent, '')) THEN 1 ELSE 0 END) AS declared
FROM requests
GROUP BY w, customer, client_ip;

-- 5. Everybody else: an aggregation of the aggregation, which closes in the same step.

CREATE VIEW everybody AS
SELECT w, customer, count(*) AS clients, avg(requests) AS mean, stddev(requests) AS deviation, avg(errors) AS errors,
  avg(assets) AS assets
FROM clients
GROUP BY w, customer;

CREATE VIEW compared AS
SELECT c.*, e.clients,
  CASE WHEN e.clients >= 5 AND e.deviation > 0 THEN (c.requests - e.mean) / e.deviation ELSE 0.0 END AS above,
  c.errors - e.errors AS errors_above,
  e.assets - c.assets AS assets_below
FROM clients c JOIN everybody e ON c.w = e.w AND c.customer = e.customer;

-- 6. A score from 0 to 100, with its reasons. (examples/detector.sql judges by forty features and a trained model.)

CREATE VIEW verdicts AS
SELECT w, customer, client_ip, requests, clients, round(score, 3) AS score,
  CASE WHEN declared = 1 THEN 'declared_bot' WHEN score >= 60 THEN 'bot' WHEN score >= 40 THEN 'suspect' ELSE 'human' END AS class,
  array_remove_all(make_array(
    CASE WHEN attacks > 0 THEN concat(CAST(attacks AS VARCHAR), ' requests for what only attackers ask for') ELSE '' END,
    CASE WHEN above >= 1 THEN concat('more requests than others: ', CAST(round(above, 1) AS VARCHAR), ' standard deviations') ELSE '' END,
    CASE WHEN errors_above >= 0.2 THEN 'more errors than others' ELSE '' END,
    CASE WHEN assets_below >= 0.2 THEN 'fewer images and styles than others' ELSE '' END,
    CASE WHEN requests >= 5 AND unevenness < 0.3 THEN 'as regular as a clock' ELSE '' END
  ), '') AS reasons
FROM (
  SELECT *,
    least(100.0,
      40.0 * least(attacks, 2)
      + 15.0 * least(greatest(above, 0.0), 3.0)
      + 30.0 * greatest(errors_above, 0.0)
      + 25.0 * greatest(assets_below, 0.0)
      + CASE WHEN requests >= 5 AND unevenness < 0.3 THEN 25.0 ELSE 0.0 END) AS score
  FROM compared
);

-- 7. Verdicts: to each customer's own topic, to an index, and to Parquet by customer.

COPY (SELECT * FROM verdicts) TO '${KAFKA}' STORED AS KAFKA
  OPTIONS ('topic' 'verdicts.{customer}', 'key' 'client_ip', 'headers' 'class', 'timestamp' 'w.end', 'create_topics' 'true');
COPY (SELECT * FROM verdicts) TO '${SEARCH}' STORED AS OPENSEARCH
  OPTIONS ('index' 'fyke-verdicts-{customer}-{w.start|%Y.%m}', 'dead_to' 'dead');
COPY (SELECT * FROM verdicts) TO '${OUT}/verdicts/' STORED AS PARQUET OPTIONS ('partition_by' 'customer');

-- 8. Through a topic and back: other teams' jobs read the minutes, and so does this one, for what is shown by five minutes.

COPY (SELECT w['end'] - INTERVAL '1 microsecond' AS time, customer, client_ip, requests, bytes FROM clients)
  TO '${KAFKA}' STORED AS KAFKA OPTIONS ('topic' 'minutes.{customer}', 'key' 'client_ip', 'create_topics' 'true');

CREATE UNBOUNDED EXTERNAL TABLE minutes (time TIMESTAMP, customer VARCHAR, client_ip VARCHAR, requests BIGINT, bytes BIGINT)
  STORED AS KAFKA LOCATION '${KAFKA}'
  OPTIONS ('topic_pattern' 'minutes\.(?<customer>.+)', 'discover_every' '1 second', 'event_time' 'time', 'dead_to' 'dead');

COPY (
  SELECT tumble(time, INTERVAL '5 minutes') AS w, customer, count(DISTINCT client_ip) AS clients, sum(requests) AS requests,
    sum(bytes) AS bytes
  FROM minutes GROUP BY w, customer
) TO '${SEARCH}' STORED AS OPENSEARCH OPTIONS ('index' 'fyke-customers');
