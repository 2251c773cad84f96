package main

import (
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// newDiscovery is how every controller here learns which kinds there are: only from an API server that is ready.
//
// One that has just started answers before it serves its custom resources. In a real cluster nobody asks it then; in a
// sandbox all clients connect to it directly. The garbage collector would take the missing kinds for removed ones, drop
// their informers, and not see that an owner of such a kind was deleted before its next discovery. The REST mapper
// would keep the incomplete answer until the collector resets it, and nothing that such a kind owns would be collected.
func newDiscovery(config *rest.Config) (discovery.DiscoveryInterface, error) {
	copied := rest.AddUserAgent(rest.CopyConfig(config), "discovery")
	copied.Wrap(func(next http.RoundTripper) http.RoundTripper { return readyGate{next} })
	return discovery.NewDiscoveryClientForConfig(copied)
}

// readyGate sends a request only after /readyz said yes.
type readyGate struct {
	next http.RoundTripper
}

func (g readyGate) RoundTrip(request *http.Request) (*http.Response, error) {
	probe := request.Clone(request.Context())
	probe.URL.Path, probe.URL.RawQuery = "/readyz", ""
	answer, err := g.next.RoundTrip(probe)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	// A body that is not read to its end costs the connection.
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the API server is not ready: %s", answer.Status)
	}
	return g.next.RoundTrip(request)
}
