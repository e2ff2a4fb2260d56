// Holds one custom resource, given as JSON, against the schema of its kind.
import { PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const kinds = { PrometheusRule, ServiceMonitor };
const object = JSON.parse(process.argv[2]);
new kinds[object.kind](object).validate();
