package main

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// orphanPeriod is the time between two looks. A pod is removed at the second look that finds its node
// gone: a node that is deleted and created again keeps its pods.
const orphanPeriod = 5 * time.Second

// orphanedPods deletes pods that are bound to a node which no longer exists. Upstream's pod garbage
// collector does this too, but its package imports 134 more (kubelet and cAdvisor) for one comparison.
type orphanedPods struct {
	client   kubernetes.Interface
	pods     corelisters.PodLister
	nodes    corelisters.NodeLister
	synced   []cache.InformerSynced
	suspects map[string]struct{}
}

func newOrphanedPods(_ context.Context, env *environment) (run, error) {
	client, err := env.clients.Client("pod-garbage-collector")
	if err != nil {
		return nil, err
	}
	pods, nodes := env.informers.Core().V1().Pods(), env.informers.Core().V1().Nodes()
	c := &orphanedPods{
		client: client,
		pods:   pods.Lister(),
		nodes:  nodes.Lister(),
		synced: []cache.InformerSynced{pods.Informer().HasSynced, nodes.Informer().HasSynced},
	}
	return c.run, nil
}

func (c *orphanedPods) run(ctx context.Context) {
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return
	}
	wait.UntilWithContext(ctx, c.look, orphanPeriod)
}

func (c *orphanedPods) look(ctx context.Context) {
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		klog.ErrorS(err, "Cannot list pods")
		return
	}
	missing := map[string]struct{}{}
	for _, pod := range pods {
		name := pod.Spec.NodeName
		if name == "" {
			continue
		}
		if _, err := c.nodes.Get(name); !apierrors.IsNotFound(err) {
			continue
		}
		missing[name] = struct{}{}
		if _, seenBefore := c.suspects[name]; seenBefore {
			c.remove(ctx, pod)
		}
	}
	c.suspects = missing
}

func (c *orphanedPods) remove(ctx context.Context, pod *v1.Pod) {
	now := int64(0) // no kubelet is left to honour a grace period
	err := c.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now,
		Preconditions:      &metav1.Preconditions{UID: &pod.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		klog.ErrorS(err, "Cannot delete a pod of a node that is gone", "pod", klog.KObj(pod), "node", pod.Spec.NodeName)
		return
	}
	klog.InfoS("Deleted a pod of a node that is gone", "pod", klog.KObj(pod), "node", pod.Spec.NodeName)
}
