-- Verdicts on visits that go on: each row replaces the one of the same visit (customer, client_ip, agent, start).
-- fyke run examples/early_verdicts.sql --set LOGS=access.log --set OUT=-
CREATE UNBOUNDED EXTERNAL TABLE requests STORED AS REQUESTS LOCATION '${LOGS}'
  OPTIONS ('customer' 'customer', 'event_time' 'time', 'lateness' '3 minutes');

-- From requests to features: what a client did, minute by minute and visit by visit, beside everybody else.
--
-- Input: a table or view `requests` with the canonical columns (time, customer, client_ip, method, path, query, status,
-- bytes, referrer, agent). Every view groups by `customer`, so each customer's windows close on its own watermark.
-- A client is an address and a user agent at a customer. The text runs unchanged in batch and as a stream.
--
-- Settings: 30 minutes a visit ends after so long without a request (default 30 minutes)
--           5 a minute with fewer clients compares nobody (default 5)
--           0, 6 hours (UTC) that count as night (default 0 and 6)
--
-- Sums that are merged later are whole numbers (times in 0.1 ms, entropy in millionths of a bit, sizes in KiB for
-- squares), so that their sum does not depend on the order of rows.

CREATE VIEW request_facts AS
SELECT
  time, customer, client_ip, coalesce(agent, '') AS agent,
  coalesce(path, '') AS path, query, coalesce(status, 0) AS status, coalesce(method, '') AS method,
  coalesce(bytes, 0) AS bytes, referrer,
  coalesce(path_depth(path), 0) AS depth, coalesce(path_class(path), 'other') AS path_class,
  coalesce(is_attack_path(path), false) OR coalesce(is_attack_path(query), false) AS is_attack,
  is_night(time, 0, 6) AS is_night
FROM requests;

-- What a client did in a minute: counts, and sums that can be merged.
CREATE VIEW client_minutes AS
SELECT
  tumble(time, INTERVAL '1 minute') AS w, customer, client_ip, agent,
  count(*) AS n,
  min(time) AS first_time, max(time) AS last_time,
  -- intervals between requests, seconds
  gap_mean(time) AS gap_mean, gap_cv(time) AS gap_cv,
  CAST(round(coalesce(gap_mean(time), 0) * (count(*) - 1) * 10000) AS BIGINT) AS gap_sum,
  CAST(round((coalesce(gap_var(time), 0) * (count(*) - 2) + power(coalesce(gap_mean(time), 0), 2) * (count(*) - 1)) * 100000000) AS BIGINT)
    AS gap_squares,
  -- answers by class
  count(*) FILTER (WHERE status BETWEEN 300 AND 399) AS redirects,
  count(*) FILTER (WHERE status BETWEEN 400 AND 499) AS client_errors,
  count(*) FILTER (WHERE status = 404) AS not_found,
  count(*) FILTER (WHERE status IN (401, 403)) AS denied,
  count(*) FILTER (WHERE status >= 500) AS server_errors,
  -- methods
  count(*) FILTER (WHERE method = 'POST') AS posts,
  count(*) FILTER (WHERE method = 'HEAD') AS heads,
  count(*) FILTER (WHERE method NOT IN ('GET', 'POST', 'HEAD')) AS other_methods,
  -- paths
  unique(path) AS paths, unique(query) AS queries,
  min(path) AS path_first, max(path) AS path_last,
  CAST(round(entropy_of(path) * 1000000) AS BIGINT) AS path_entropy,
  CAST(round(log2(count(*)) * 1000000) AS BIGINT) AS path_entropy_most,
  sum(depth) AS depth, sum(depth * depth) AS depth_squares,
  -- payload
  sum(bytes) AS bytes, sum(bytes / 1024) AS kilobytes, sum((bytes / 1024) * (bytes / 1024)) AS kilobyte_squares,
  -- what is asked for, and from where
  count(*) FILTER (WHERE path_class = 'page') AS pages,
  count(*) FILTER (WHERE path_class = 'asset') AS assets,
  count(*) FILTER (WHERE path_class IN ('api', 'feed')) AS apis,
  count(*) FILTER (WHERE path_class = 'other') AS robots,
  count(*) FILTER (WHERE referrer IS NULL) AS no_referrer,
  count(*) FILTER (WHERE is_night) AS night,
  count(*) FILTER (WHERE is_attack) AS attacks
FROM request_facts
GROUP BY w, customer, client_ip, agent;

-- An aggregation of the aggregation: what the average client of the customer did in that minute.
CREATE VIEW customer_minutes AS
SELECT
  w, customer,
  count(*) AS clients,
  avg(n) AS c_n, stddev(n) AS c_n_sd,
  avg(gap_mean) AS c_gap_mean, avg(gap_cv) AS c_gap_cv,
  avg(redirects * 1.0 / n) AS c_redirects,
  avg(client_errors * 1.0 / n) AS c_client_errors, stddev(client_errors * 1.0 / n) AS c_client_errors_sd,
  avg(not_found * 1.0 / n) AS c_not_found,
  avg(denied * 1.0 / n) AS c_denied,
  avg(server_errors * 1.0 / n) AS c_server_errors,
  avg(posts * 1.0 / n) AS c_posts,
  avg(heads * 1.0 / n) AS c_heads,
  avg(other_methods * 1.0 / n) AS c_other_methods,
  avg(paths * 1.0 / n) AS c_path_ratio, stddev(paths * 1.0 / n) AS c_path_ratio_sd,
  avg(queries * 1.0 / n) AS c_query_ratio,
  avg(path_entropy * 1.0 / nullif(path_entropy_most, 0)) AS c_path_entropy,
  avg(depth * 1.0 / n) AS c_depth_mean,
  avg(depth_squares * 1.0 / n - power(depth * 1.0 / n, 2)) AS c_depth_var,
  avg(bytes * 1.0 / n) AS c_bytes_mean,
  avg(CASE WHEN kilobytes > 0 THEN sqrt(greatest(kilobyte_squares * 1.0 / n - power(kilobytes * 1.0 / n, 2), 0)) / (kilobytes * 1.0 / n) END)
    AS c_bytes_cv,
  avg(pages * 1.0 / n) AS c_pages,
  avg(assets * 1.0 / n) AS c_assets,
  avg(apis * 1.0 / n) AS c_apis,
  avg(robots * 1.0 / n) AS c_robots,
  avg(no_referrer * 1.0 / n) AS c_no_referrer,
  avg(night * 1.0 / n) AS c_night
FROM client_minutes
GROUP BY w, customer
HAVING count(*) >= 5;

-- Each client beside its customer's average in the same minute; too few clients compare nobody (nulls).
CREATE VIEW compared AS
SELECT m.*, c.clients, c.c_n, c.c_n_sd,
  CASE WHEN c.c_n_sd > 0.000001 THEN (m.n - c.c_n) / c.c_n_sd END AS n_deviations,
  c.c_gap_mean, c.c_gap_cv, c.c_redirects, c.c_client_errors, c.c_client_errors_sd, c.c_not_found, c.c_denied,
  c.c_server_errors, c.c_posts, c.c_heads, c.c_other_methods, c.c_path_ratio, c.c_path_ratio_sd, c.c_query_ratio,
  c.c_path_entropy, c.c_depth_mean, c.c_depth_var, c.c_bytes_mean, c.c_bytes_cv, c.c_pages, c.c_assets, c.c_apis,
  c.c_robots, c.c_no_referrer, c.c_night
FROM client_minutes m
LEFT JOIN customer_minutes c ON m.w = c.w AND m.customer = c.customer;

-- A window feeds a window: minutes make visits. A visit ends after 30 minutes without a request.
-- Every feature is a share, a mean or a variance over the visit; base_… is the customer's average of the same in the
-- same minutes, null where nobody is compared.
CREATE VIEW client_sessions AS
SELECT
  session(w, INTERVAL '30 minutes') AS visit, customer, client_ip, agent,
  min(first_time) AS first_time, max(last_time) AS last_time,
  sum(attacks) AS attacks,
  sum(n) AS requests,
  count(*) AS minutes,
  count(*) * 60.0 / (date_part('epoch', max(w['end'])) - date_part('epoch', min(w['start']))) AS active_share,
  sum(n) * 1.0 / count(*) AS rate,
  max(n) AS peak,
  avg(n / c_n) AS rate_ratio,
  sum(gap_sum) / 10000.0 / nullif(sum(n - 1), 0) AS gap_mean,
  CASE WHEN sum(n - 1) >= 3 AND sum(gap_sum) > 0 THEN sqrt(greatest(sum(gap_squares) * 1.0 / sum(n - 1) - power(sum(gap_sum) * 1.0 / sum(n - 1), 2), 0)) / (sum(gap_sum) * 1.0 / sum(n - 1)) END AS gap_cv,
  sum(redirects) * 1.0 / sum(n) AS redirects,
  sum(client_errors) * 1.0 / sum(n) AS client_errors,
  sum(not_found) * 1.0 / sum(n) AS not_found,
  sum(denied) * 1.0 / sum(n) AS denied,
  sum(server_errors) * 1.0 / sum(n) AS server_errors,
  round(avg(client_errors * 1.0 / n - c_client_errors), 6) AS errors_above,
  sum(posts) * 1.0 / sum(n) AS posts,
  sum(heads) * 1.0 / sum(n) AS heads,
  sum(other_methods) * 1.0 / sum(n) AS other_methods,
  sum(paths) * 1.0 / sum(n) AS path_ratio,
  sum(queries) * 1.0 / sum(n) AS query_ratio,
  CASE WHEN min(path_first) = max(path_last) THEN 1 ELSE 0 END AS one_path,
  sum(path_entropy) * 1.0 / nullif(sum(path_entropy_most), 0) AS path_entropy,
  sum(depth) * 1.0 / sum(n) AS depth_mean,
  sum(depth_squares) * 1.0 / sum(n) - power(sum(depth) * 1.0 / sum(n), 2) AS depth_var,
  sum(bytes) * 1.0 / sum(n) AS bytes_mean,
  CASE WHEN sum(kilobytes) > 0 THEN sqrt(greatest(sum(kilobyte_squares) * 1.0 / sum(n) - power(sum(kilobytes) * 1.0 / sum(n), 2), 0)) / (sum(kilobytes) * 1.0 / sum(n)) END AS bytes_cv,
  sum(pages) * 1.0 / sum(n) AS pages,
  sum(assets) * 1.0 / sum(n) AS assets,
  sum(apis) * 1.0 / sum(n) AS apis,
  sum(robots) * 1.0 / sum(n) AS robots,
  sum(no_referrer) * 1.0 / sum(n) AS no_referrer,
  sum(night) * 1.0 / sum(n) AS night,
  sum(c_n) AS base_requests,
  avg(c_n) AS base_rate,
  max(c_n) AS base_peak,
  CASE WHEN count(c_n) > 0 THEN 1.0 END AS base_rate_ratio,
  avg(c_gap_mean) AS base_gap_mean,
  avg(c_gap_cv) AS base_gap_cv,
  avg(c_redirects) AS base_redirects,
  avg(c_client_errors) AS base_client_errors,
  avg(c_not_found) AS base_not_found,
  avg(c_denied) AS base_denied,
  avg(c_server_errors) AS base_server_errors,
  CASE WHEN count(c_n) > 0 THEN 0.0 END AS base_errors_above,
  avg(c_posts) AS base_posts,
  avg(c_heads) AS base_heads,
  avg(c_other_methods) AS base_other_methods,
  avg(c_path_ratio) AS base_path_ratio,
  avg(c_query_ratio) AS base_query_ratio,
  avg(c_path_entropy) AS base_path_entropy,
  avg(c_depth_mean) AS base_depth_mean,
  avg(c_depth_var) AS base_depth_var,
  avg(c_bytes_mean) AS base_bytes_mean,
  avg(c_bytes_cv) AS base_bytes_cv,
  avg(c_pages) AS base_pages,
  avg(c_assets) AS base_assets,
  avg(c_apis) AS base_apis,
  avg(c_robots) AS base_robots,
  avg(c_no_referrer) AS base_no_referrer,
  avg(c_night) AS base_night
FROM compared
GROUP BY visit, customer, client_ip, agent;

-- The same while the visit goes on: with every closed minute, each client that was there in it is judged by all that
-- it did since the hour began.
CREATE VIEW client_progress AS
SELECT
  cumulate(w, INTERVAL '1 hour', INTERVAL '1 minute') AS so_far, customer, client_ip, agent,
  min(first_time) AS first_time, max(last_time) AS last_time,
  sum(attacks) AS attacks,
  sum(n) AS requests,
  count(*) AS minutes,
  count(*) * 60.0 / (date_part('epoch', max(w['end'])) - date_part('epoch', min(w['start']))) AS active_share,
  sum(n) * 1.0 / count(*) AS rate,
  max(n) AS peak,
  avg(n / c_n) AS rate_ratio,
  sum(gap_sum) / 10000.0 / nullif(sum(n - 1), 0) AS gap_mean,
  CASE WHEN sum(n - 1) >= 3 AND sum(gap_sum) > 0 THEN sqrt(greatest(sum(gap_squares) * 1.0 / sum(n - 1) - power(sum(gap_sum) * 1.0 / sum(n - 1), 2), 0)) / (sum(gap_sum) * 1.0 / sum(n - 1)) END AS gap_cv,
  sum(redirects) * 1.0 / sum(n) AS redirects,
  sum(client_errors) * 1.0 / sum(n) AS client_errors,
  sum(not_found) * 1.0 / sum(n) AS not_found,
  sum(denied) * 1.0 / sum(n) AS denied,
  sum(server_errors) * 1.0 / sum(n) AS server_errors,
  round(avg(client_errors * 1.0 / n - c_client_errors), 6) AS errors_above,
  sum(posts) * 1.0 / sum(n) AS posts,
  sum(heads) * 1.0 / sum(n) AS heads,
  sum(other_methods) * 1.0 / sum(n) AS other_methods,
  sum(paths) * 1.0 / sum(n) AS path_ratio,
  sum(queries) * 1.0 / sum(n) AS query_ratio,
  CASE WHEN min(path_first) = max(path_last) THEN 1 ELSE 0 END AS one_path,
  sum(path_entropy) * 1.0 / nullif(sum(path_entropy_most), 0) AS path_entropy,
  sum(depth) * 1.0 / sum(n) AS depth_mean,
  sum(depth_squares) * 1.0 / sum(n) - power(sum(depth) * 1.0 / sum(n), 2) AS depth_var,
  sum(bytes) * 1.0 / sum(n) AS bytes_mean,
  CASE WHEN sum(kilobytes) > 0 THEN sqrt(greatest(sum(kilobyte_squares) * 1.0 / sum(n) - power(sum(kilobytes) * 1.0 / sum(n), 2), 0)) / (sum(kilobytes) * 1.0 / sum(n)) END AS bytes_cv,
  sum(pages) * 1.0 / sum(n) AS pages,
  sum(assets) * 1.0 / sum(n) AS assets,
  sum(apis) * 1.0 / sum(n) AS apis,
  sum(robots) * 1.0 / sum(n) AS robots,
  sum(no_referrer) * 1.0 / sum(n) AS no_referrer,
  sum(night) * 1.0 / sum(n) AS night,
  sum(c_n) AS base_requests,
  avg(c_n) AS base_rate,
  max(c_n) AS base_peak,
  CASE WHEN count(c_n) > 0 THEN 1.0 END AS base_rate_ratio,
  avg(c_gap_mean) AS base_gap_mean,
  avg(c_gap_cv) AS base_gap_cv,
  avg(c_redirects) AS base_redirects,
  avg(c_client_errors) AS base_client_errors,
  avg(c_not_found) AS base_not_found,
  avg(c_denied) AS base_denied,
  avg(c_server_errors) AS base_server_errors,
  CASE WHEN count(c_n) > 0 THEN 0.0 END AS base_errors_above,
  avg(c_posts) AS base_posts,
  avg(c_heads) AS base_heads,
  avg(c_other_methods) AS base_other_methods,
  avg(c_path_ratio) AS base_path_ratio,
  avg(c_query_ratio) AS base_query_ratio,
  avg(c_path_entropy) AS base_path_entropy,
  avg(c_depth_mean) AS base_depth_mean,
  avg(c_depth_var) AS base_depth_var,
  avg(c_bytes_mean) AS base_bytes_mean,
  avg(c_bytes_cv) AS base_bytes_cv,
  avg(c_pages) AS base_pages,
  avg(c_assets) AS base_assets,
  avg(c_apis) AS base_apis,
  avg(c_robots) AS base_robots,
  avg(c_no_referrer) AS base_no_referrer,
  avg(c_night) AS base_night,
  max(w['end']) AS last_minute
FROM compared
GROUP BY so_far, customer, client_ip, agent;

-- From features to verdicts: rules first, then the model. Needs features.sql.
--
-- Settings: detector@shipped which model judges (default detector@shipped)
--           60 score from 0 to 100 at which a client is called a bot (default 60)
--           40 score at which it is called suspect (default 40)
--           3 so many requests for what only attackers ask for make a bot, whatever the score (default 3)
--
-- The model takes those features that measure the same on any site; the others in client_sessions are for models that are
-- trained on the site itself (docs/detection.md).
--
-- class: allowed       on the allow list; beats everything
--        verified_bot  a known crawler from its published addresses
--        bot           an impostor, an attacker, or a client that the model calls a program
--        declared_bot  says itself that it is a program, and does not attack
--        suspect       the model is not sure
--        human
-- is_verified is null where no addresses of the claimed crawler were given: then the claim counts for nothing.

-- When the visit has ended.
CREATE VIEW session_verdicts AS
SELECT
  w, customer, client_ip, agent, first_time, last_time,
  CASE
    WHEN is_allowed THEN 'allowed'
    WHEN is_verified THEN 'verified_bot'
    WHEN NOT is_verified THEN 'bot'
    WHEN attacks >= 3 THEN 'bot'
    WHEN is_declared THEN 'declared_bot'
    WHEN model['score'] >= 60 THEN 'bot'
    WHEN model['score'] >= 40 THEN 'suspect'
    ELSE 'human'
  END AS class,
  model['score'] AS score, model['label'] AS label, model['version'] AS version,
  CASE
    WHEN is_allowed THEN make_array('stands on the allow list')
    WHEN is_verified THEN make_array(concat('is ', claim, ': comes from its published addresses'))
    WHEN NOT is_verified THEN
      array_concat(make_array(concat('claims to be ', claim, ', but comes from outside its published addresses')), model['reasons'])
    WHEN attacks >= 3 THEN
      array_concat(make_array(concat(CAST(attacks AS VARCHAR), ' requests for what only attackers ask for')), model['reasons'])
    WHEN is_declared THEN array_concat(make_array(concat('says that it is a program: ', agent_class)), model['reasons'])
    ELSE model['reasons']
  END AS reasons,
  agent_class, claim, requests, minutes, rate, client_errors, attacks
FROM (
  SELECT
    visit AS w, customer, client_ip, agent, first_time, last_time, requests, minutes, rate, client_errors, attacks,
    agent_class(agent) AS agent_class, agent_is_declared_bot(agent) AS is_declared,
    crawler_claim(agent) AS claim, crawler_verified(crawler_claim(agent), client_ip) AS is_verified,
    allowed(client_ip, agent) AS is_allowed,
    predict_against('detector@shipped',
      requests, minutes, active_share, rate, peak, rate_ratio, client_errors, not_found, denied, server_errors,
      errors_above, heads, other_methods, one_path, pages, assets, apis, robots, no_referrer, night,
      base_requests, NULL, NULL, base_rate, base_peak, base_rate_ratio, base_client_errors, base_not_found,
      base_denied, base_server_errors, base_errors_above, base_heads, base_other_methods, NULL, base_pages,
      base_assets, base_apis, base_robots, base_no_referrer, base_night
    ) AS model
  FROM client_sessions
);

-- With every closed minute, for the clients that were there in it.
CREATE VIEW minute_verdicts AS
SELECT
  w, customer, client_ip, agent, first_time, last_time,
  CASE
    WHEN is_allowed THEN 'allowed'
    WHEN is_verified THEN 'verified_bot'
    WHEN NOT is_verified THEN 'bot'
    WHEN attacks >= 3 THEN 'bot'
    WHEN is_declared THEN 'declared_bot'
    WHEN model['score'] >= 60 THEN 'bot'
    WHEN model['score'] >= 40 THEN 'suspect'
    ELSE 'human'
  END AS class,
  model['score'] AS score, model['label'] AS label, model['version'] AS version,
  CASE
    WHEN is_allowed THEN make_array('stands on the allow list')
    WHEN is_verified THEN make_array(concat('is ', claim, ': comes from its published addresses'))
    WHEN NOT is_verified THEN
      array_concat(make_array(concat('claims to be ', claim, ', but comes from outside its published addresses')), model['reasons'])
    WHEN attacks >= 3 THEN
      array_concat(make_array(concat(CAST(attacks AS VARCHAR), ' requests for what only attackers ask for')), model['reasons'])
    WHEN is_declared THEN array_concat(make_array(concat('says that it is a program: ', agent_class)), model['reasons'])
    ELSE model['reasons']
  END AS reasons,
  agent_class, claim, requests, minutes, rate, client_errors, attacks
FROM (
  SELECT
    so_far AS w, customer, client_ip, agent, first_time, last_time, requests, minutes, rate, client_errors, attacks,
    agent_class(agent) AS agent_class, agent_is_declared_bot(agent) AS is_declared,
    crawler_claim(agent) AS claim, crawler_verified(crawler_claim(agent), client_ip) AS is_verified,
    allowed(client_ip, agent) AS is_allowed,
    predict_against('detector@shipped',
      requests, minutes, active_share, rate, peak, rate_ratio, client_errors, not_found, denied, server_errors,
      errors_above, heads, other_methods, one_path, pages, assets, apis, robots, no_referrer, night,
      base_requests, NULL, NULL, base_rate, base_peak, base_rate_ratio, base_client_errors, base_not_found,
      base_denied, base_server_errors, base_errors_above, base_heads, base_other_methods, NULL, base_pages,
      base_assets, base_apis, base_robots, base_no_referrer, base_night
    ) AS model
  FROM client_progress
  WHERE last_minute = so_far['end']
);

COPY (SELECT * FROM session_verdicts) TO '${OUT}' STORED AS JSON
  OPTIONS ('emit' 'update', 'every' '1 second', 'final' 'is_final');
