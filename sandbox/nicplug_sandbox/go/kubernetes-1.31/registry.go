package main

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/tainteviction"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
)

// controllers are the ones whose absence a user of the sandbox would notice. Each imports only its own
// package: kube-controller-manager's app links every controller, every volume plugin and half of kubelet.
var controllers = []struct {
	name  string
	build func(context.Context, *environment) (run, error)
}{
	{"serviceaccount", newServiceAccounts},         // no pod is admitted before its namespace has a default account
	{"namespace", newNamespaces},                   // a deleted namespace ends
	{"garbagecollector", newGarbage},               // objects go with their owners
	{"daemonset", newDaemonSets},                   // the node simulator's agents
	{"replicaset", newReplicaSets},                 // operator deployed from its manifests
	{"deployment", newDeployments},                 // the same
	{"nodelifecycle", newNodeLifecycle},            // a silent node gets its taints
	{"tainteviction", newTaintEviction},            // and loses its pods
	{"orphanedpods", newOrphanedPods},              // pods of a deleted node go
	{"disruption", newDisruption},                  // budgets have a status, so that evictions are judged
	{"resourcequota", newResourceQuota},            // quotas count
	{"clusterroleaggregation", newRoleAggregation}, // nicplug's roles join admin, edit and view
}

func newServiceAccounts(_ context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("service-account-controller")
	if err != nil {
		return nil, err
	}
	c, err := serviceaccount.NewServiceAccountsController(
		env.informers.Core().V1().ServiceAccounts(), env.informers.Core().V1().Namespaces(),
		client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func newNamespaces(ctx context.Context, env *environment) (run, error) {
	config, err := env.clients.Config("namespace-controller")
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := namespace.NewNamespaceController(
		ctx, client, metadataClient, env.discovery.ServerPreferredNamespacedResources,
		env.informers.Core().V1().Namespaces(), 5*time.Minute, v1.FinalizerKubernetes)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func newGarbage(ctx context.Context, env *environment) (run, error) {
	config, err := env.clients.Config("generic-garbage-collector")
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// Events come and go by their own lifetime; following them would double the work for nothing.
	ignored := map[schema.GroupResource]struct{}{
		{Resource: "events"}:                         {},
		{Group: "events.k8s.io", Resource: "events"}: {},
	}
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, env.metadataClient, env.mapper, ignored, env.metadata, env.started)
	c, err := garbagecollector.NewComposedGarbageCollector(ctx, client, metadataClient, env.mapper, graph)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go c.Sync(ctx, env.discovery, discoveryPeriod)
		c.Run(ctx, 2*workers)
	}, nil
}

func newDaemonSets(ctx context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("daemon-set-controller")
	if err != nil {
		return nil, err
	}
	c, err := daemon.NewDaemonSetsController(
		ctx, env.informers.Apps().V1().DaemonSets(), env.informers.Apps().V1().ControllerRevisions(),
		env.informers.Core().V1().Pods(), env.informers.Core().V1().Nodes(), client,
		flowcontrol.NewBackOff(time.Second, 15*time.Minute))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func newReplicaSets(ctx context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("replicaset-controller")
	if err != nil {
		return nil, err
	}
	c := replicaset.NewReplicaSetController(
		ctx, env.informers.Apps().V1().ReplicaSets(), env.informers.Core().V1().Pods(), client, replicaset.BurstReplicas)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func newDeployments(ctx context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("deployment-controller")
	if err != nil {
		return nil, err
	}
	c, err := deployment.NewDeploymentController(
		ctx, env.informers.Apps().V1().Deployments(), env.informers.Apps().V1().ReplicaSets(),
		env.informers.Core().V1().Pods(), client)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func newNodeLifecycle(ctx context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("node-controller")
	if err != nil {
		return nil, err
	}
	// Upstream's defaults: look every 5 s, a new node has 60 s, a known one 50 s, then evict
	// one node per 10 s (one per 100 s in a zone of more than 50 nodes that is 55 % ill).
	c, err := nodelifecycle.NewNodeLifecycleController(
		ctx, env.informers.Coordination().V1().Leases(), env.informers.Core().V1().Pods(),
		env.informers.Core().V1().Nodes(), env.informers.Apps().V1().DaemonSets(), client,
		5*time.Second, time.Minute, 50*time.Second, 0.1, 0.01, 50, 0.55)
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newTaintEviction(ctx context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("node-controller")
	if err != nil {
		return nil, err
	}
	c, err := tainteviction.New(
		ctx, client, env.informers.Core().V1().Pods(), env.informers.Core().V1().Nodes(), "taint-eviction-controller")
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newDisruption(ctx context.Context, env *environment) (run, error) {
	config, err := env.clients.Config("disruption-controller")
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	scales, err := scale.NewForConfig(
		config, env.mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(env.discovery))
	if err != nil {
		return nil, err
	}
	core, apps := env.informers.Core().V1(), env.informers.Apps().V1()
	c := disruption.NewDisruptionController(
		ctx, core.Pods(), env.informers.Policy().V1().PodDisruptionBudgets(), core.ReplicationControllers(),
		apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), client, env.mapper, scales, env.discovery)
	return func(ctx context.Context) { c.Run(ctx) }, nil
}

func newResourceQuota(ctx context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("resourcequota-controller")
	if err != nil {
		return nil, err
	}
	quotas := quotainstall.NewQuotaConfigurationForControllers(
		generic.ListerFuncForResourceFunc(env.informers.ForResource))
	discover := env.discovery.ServerPreferredNamespacedResources
	c, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               client.CoreV1(),
		ResourceQuotaInformer:     env.informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              controller.StaticResyncPeriodFunc(5 * time.Minute),
		Registry:                  generic.NewRegistry(quotas.Evaluators()),
		DiscoveryFunc:             discover,
		IgnoredResourcesFunc:      quotas.IgnoredResources,
		InformersStarted:          env.started,
		InformerFactory:           env.metadata,
		ReplenishmentResyncPeriod: controller.StaticResyncPeriodFunc(resyncPeriod),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go c.Sync(ctx, discover, 30*time.Second)
		c.Run(ctx, workers)
	}, nil
}

func newRoleAggregation(_ context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("clusterrole-aggregation-controller")
	if err != nil {
		return nil, err
	}
	c := clusterroleaggregation.NewClusterRoleAggregation(env.informers.Rbac().V1().ClusterRoles(), client.RbacV1())
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}
