-- From features to verdicts: rules first, then the model. Needs features.sql.
--
-- Settings: ${model} which model judges (default detector@shipped)
--           ${bot_score} score from 0 to 100 at which a client is called a bot (default 60)
--           ${suspect_score} score at which it is called suspect (default 40)
--           ${attack_requests} so many requests for what only attackers ask for make a bot, whatever the score (default 3)
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
    WHEN attacks >= ${attack_requests} THEN 'bot'
    WHEN is_declared THEN 'declared_bot'
    WHEN model['score'] >= ${bot_score} THEN 'bot'
    WHEN model['score'] >= ${suspect_score} THEN 'suspect'
    ELSE 'human'
  END AS class,
  model['score'] AS score, model['label'] AS label, model['version'] AS version,
  CASE
    WHEN is_allowed THEN make_array('stands on the allow list')
    WHEN is_verified THEN make_array(concat('is ', claim, ': comes from its published addresses'))
    WHEN NOT is_verified THEN
      array_concat(make_array(concat('claims to be ', claim, ', but comes from outside its published addresses')), model['reasons'])
    WHEN attacks >= ${attack_requests} THEN
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
    predict_against('${model}',
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
    WHEN attacks >= ${attack_requests} THEN 'bot'
    WHEN is_declared THEN 'declared_bot'
    WHEN model['score'] >= ${bot_score} THEN 'bot'
    WHEN model['score'] >= ${suspect_score} THEN 'suspect'
    ELSE 'human'
  END AS class,
  model['score'] AS score, model['label'] AS label, model['version'] AS version,
  CASE
    WHEN is_allowed THEN make_array('stands on the allow list')
    WHEN is_verified THEN make_array(concat('is ', claim, ': comes from its published addresses'))
    WHEN NOT is_verified THEN
      array_concat(make_array(concat('claims to be ', claim, ', but comes from outside its published addresses')), model['reasons'])
    WHEN attacks >= ${attack_requests} THEN
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
    predict_against('${model}',
      requests, minutes, active_share, rate, peak, rate_ratio, client_errors, not_found, denied, server_errors,
      errors_above, heads, other_methods, one_path, pages, assets, apis, robots, no_referrer, night,
      base_requests, NULL, NULL, base_rate, base_peak, base_rate_ratio, base_client_errors, base_not_found,
      base_denied, base_server_errors, base_errors_above, base_heads, base_other_methods, NULL, base_pages,
      base_assets, base_apis, base_robots, base_no_referrer, base_night
    ) AS model
  FROM client_progress
  WHERE last_minute = so_far['end']
);
