package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/discovery"
	cacheddiscovery "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/logs"
	"k8s.io/controller-manager/pkg/clientbuilder"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
)

const (
	// Upstream looks for new kinds every 30 s. A sandbox gets its CRDs a second before the first
	// object of them, so owned objects would stay for half a minute; one discovery call is about a millisecond.
	discoveryPeriod = 2 * time.Second
	workers         = 5
	// Full relists cost CPU on a laptop and hide bugs that only a resync repairs.
	resyncPeriod = 12 * time.Hour
)

// environment is what every controller here is built from.
type environment struct {
	clients        clientbuilder.ControllerClientBuilder
	informers      informers.SharedInformerFactory
	metadata       informerfactory.InformerFactory
	discovery      discovery.DiscoveryInterface
	mapper         meta.ResettableRESTMapper
	started        chan struct{}
	metadataClient metadata.Interface
}

// run is the loop of one controller; it returns when the context ends.
type run func(ctx context.Context)

func newControllersCommand() *cobra.Command {
	var kubeconfig string
	command := &cobra.Command{
		Use:          "kube-controllers",
		Short:        "The controllers of kube-controller-manager that a laptop cluster needs",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			return runControllers(genericapiserver.SetupSignalContext(), kubeconfig)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "credentials of system:kube-controller-manager")
	if err := command.MarkFlagRequired("kubeconfig"); err != nil {
		klog.Fatal(err)
	}
	logs.AddFlags(command.Flags())
	return command
}

func runControllers(ctx context.Context, kubeconfig string) error {
	env, err := newEnvironment(ctx, kubeconfig)
	if err != nil {
		return err
	}
	var loops []run
	for _, controller := range controllers {
		loop, err := controller.build(ctx, env)
		if err != nil {
			return fmt.Errorf("controller %s: %w", controller.name, err)
		}
		loops = append(loops, loop)
	}
	env.informers.Start(ctx.Done())
	env.metadata.Start(ctx.Done())
	close(env.started)
	for _, loop := range loops {
		go loop(ctx)
	}
	klog.InfoS("Controllers started", "count", len(loops))
	<-ctx.Done()
	return nil
}

// newEnvironment gives each controller a ServiceAccount of its own, as a real cluster does: the
// bootstrap RBAC roles then hold, and the audit log says which controller wrote what.
func newEnvironment(ctx context.Context, kubeconfig string) (*environment, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// No limit on our side: priority and fairness in the API server already protects it, and a
	// limit here would be measured as slowness of whatever is under test.
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	root, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(config), "shared-informers"))
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(rest.AddUserAgent(rest.CopyConfig(config), "metadata-informers"))
	if err != nil {
		return nil, err
	}
	kinds, err := newDiscovery(config)
	if err != nil {
		return nil, err
	}
	shared := informers.NewSharedInformerFactoryWithOptions(root, resyncPeriod, informers.WithTransform(dropManagedFields))
	byMetadata := metadatainformer.NewSharedInformerFactoryWithOptions(
		metadataClient, resyncPeriod, metadatainformer.WithTransform(dropManagedFields))
	return &environment{
		clients:        clientbuilder.NewDynamicClientBuilder(rest.AnonymousClientConfig(config), root.CoreV1(), "kube-system"),
		informers:      shared,
		metadata:       informerfactory.NewInformerFactory(shared, byMetadata),
		discovery:      kinds,
		mapper:         restmapper.NewDeferredDiscoveryRESTMapper(cacheddiscovery.NewMemCacheClient(kinds)),
		started:        make(chan struct{}),
		metadataClient: metadataClient,
	}, nil
}

// dropManagedFields halves the memory of the caches; no controller here reads them.
func dropManagedFields(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}
