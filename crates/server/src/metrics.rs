//! A run's progress as Prometheus metrics.

use fyke::Progress;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

/// Prometheus text.
///
/// Counters by `source`: `fyke_rows_read_total`, `…_used_total`, `…_late_total`, `…_dead_total`, `fyke_bytes_read_total`;
/// by `sink`: `fyke_rows_written_total`, and where a server is behind it `fyke_rows_taken_total`, `…_refused_total` and
/// `fyke_output_retries_total`; by `operator` (EXPLAIN's number) and `name`: `fyke_operator_rows_in_total`,
/// `…_rows_out_total`, `…_late_total`; of the run: `fyke_epochs_total` and `fyke_late_inside_total`. Gauges by source:
/// `fyke_watermark_seconds`, `fyke_caught_up`, `fyke_idle_inputs` and `fyke_silent_customers`; by operator:
/// `fyke_operator_state_rows`, `…_state_bytes`, `…_busy_seconds` and `…_watermark_seconds`; of the run:
/// `fyke_epoch_seconds`. What is by operator, and who is idle or silent, is looked at once a second.
pub fn metrics(progress: &Progress) -> String {
    // a recorder of its own for each look: the run's progress is the only state
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        record(progress);
    });
    handle.render()
}

fn describe() {
    describe_counter!("fyke_rows_read_total", Unit::Count, "Records read: used + late + dead.");
    describe_counter!("fyke_rows_used_total", Unit::Count, "Rows that went into the plan.");
    describe_counter!("fyke_rows_late_total", Unit::Count, "Rows whose windows were all closed.");
    describe_counter!("fyke_rows_dead_total", Unit::Count, "Records that made no row.");
    describe_counter!("fyke_troubles_total", Unit::Count, "What went wrong with a source and did not stop the run.");
    describe_counter!("fyke_rows_written_total", Unit::Count, "Rows given to a sink.");
    describe_counter!("fyke_rows_taken_total", Unit::Count, "Rows that a sink's server took.");
    describe_counter!("fyke_rows_refused_total", Unit::Count, "Rows that a sink's server will never take.");
    describe_counter!("fyke_output_retries_total", Unit::Count, "Attempts that failed and were made again.");
    describe_gauge!("fyke_output_waiting_bytes", Unit::Bytes, "Rows on their way to a sink's server.");
    describe_gauge!("fyke_watermark_seconds", Unit::Seconds, "The watermark over all customers, since 1970.");
    describe_gauge!("fyke_caught_up", "1 where nothing is left to read for now.");
    describe_gauge!("fyke_epoch_seconds", Unit::Seconds, "From the first row of the last epoch to its results.");
    describe_gauge!("fyke_operator_state_bytes", Unit::Bytes, "What an operator remembers.");
    describe_gauge!("fyke_operator_busy_seconds", Unit::Seconds, "Time spent in an operator.");
}

fn record(progress: &Progress) {
    counter!("fyke_epochs_total").absolute(progress.epochs);
    counter!("fyke_late_inside_total").absolute(progress.late_inside);
    gauge!("fyke_epoch_seconds").set(progress.epoch_us as f64 / 1e6);
    for source in &progress.sources {
        let name = || source.name.clone();
        counter!("fyke_rows_read_total", "source" => name()).absolute(source.read);
        counter!("fyke_rows_used_total", "source" => name()).absolute(source.used);
        counter!("fyke_rows_late_total", "source" => name()).absolute(source.late);
        counter!("fyke_rows_dead_total", "source" => name()).absolute(source.dead);
        counter!("fyke_troubles_total", "source" => name()).absolute(source.troubles);
        counter!("fyke_bytes_read_total", "source" => name()).absolute(source.bytes);
        gauge!("fyke_caught_up", "source" => name()).set(f64::from(u8::from(source.caught_up)));
        gauge!("fyke_idle_inputs", "source" => name()).set(source.idle_inputs as f64);
        gauge!("fyke_silent_customers", "source" => name()).set(source.silent_customers as f64);
        if let Some(watermark) = source.watermark {
            gauge!("fyke_watermark_seconds", "source" => name()).set(watermark as f64 / 1e6);
        }
    }
    for sink in &progress.sinks {
        counter!("fyke_rows_written_total", "sink" => sink.name.clone()).absolute(sink.rows);
        let Some(health) = &sink.health else { continue };
        counter!("fyke_rows_taken_total", "sink" => sink.name.clone()).absolute(health.taken);
        counter!("fyke_rows_refused_total", "sink" => sink.name.clone()).absolute(health.refused);
        counter!("fyke_output_retries_total", "sink" => sink.name.clone()).absolute(health.retries);
        gauge!("fyke_output_waiting_bytes", "sink" => sink.name.clone()).set(health.waiting_bytes as f64);
    }
    for operator in &progress.operators {
        // the first word says what it is; EXPLAIN says the rest
        let name = operator.name.split(' ').next().unwrap_or_default().to_owned();
        let labels = [("operator", operator.number.to_string()), ("name", name)];
        counter!("fyke_operator_rows_in_total", &labels).absolute(operator.rows_in);
        counter!("fyke_operator_rows_out_total", &labels).absolute(operator.rows_out);
        counter!("fyke_operator_late_total", &labels).absolute(operator.late);
        gauge!("fyke_operator_busy_seconds", &labels).set(operator.busy_us as f64 / 1e6);
        gauge!("fyke_operator_state_rows", &labels).set(operator.state_rows as f64);
        gauge!("fyke_operator_state_bytes", &labels).set(operator.state_bytes as f64);
        if let Some(watermark) = operator.watermark {
            gauge!("fyke_operator_watermark_seconds", &labels).set(watermark as f64 / 1e6);
        }
    }
}
