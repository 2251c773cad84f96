// Command promql answers range queries over scrapes that somebody has kept, by Prometheus' own engine: the dashboard can
// be drawn from what a bench has measured, without a Prometheus that runs beside it.
//
// It reads one request as JSON from stdin and writes one answer to stdout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

type scrape struct {
	Milliseconds int64             `json:"milliseconds"`
	Labels       map[string]string `json:"labels"`
	Text         string            `json:"text"`
}

type request struct {
	Scrapes []scrape `json:"scrapes"`
	Queries []string `json:"queries"`
	Start   int64    `json:"start"`
	End     int64    `json:"end"`
	Step    int64    `json:"step"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	// Time in milliseconds, value.
	Points [][2]float64 `json:"points"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	folder, err := os.MkdirTemp("", "promql-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	quiet := slog.New(slog.DiscardHandler)
	db, err := tsdb.Open(folder, quiet, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, one := range asked.Scrapes {
		if err := keep(db, one); err != nil {
			return err
		}
	}
	engine := promql.NewEngine(promql.EngineOpts{
		Logger:        quiet,
		MaxSamples:    50_000_000,
		Timeout:       time.Minute,
		LookbackDelta: 5 * time.Second,
		Parser:        parser.NewParser(parser.Options{}),
	})
	answers := make([][]series, 0, len(asked.Queries))
	for _, query := range asked.Queries {
		found, err := answer(engine, db, asked, query)
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		answers = append(answers, found)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// keep stores the samples of one scrape, with the labels of its target.
func keep(db *tsdb.DB, one scrape) error {
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(strings.NewReader(one.Text))
	if err != nil {
		return fmt.Errorf("scrape: %w", err)
	}
	appender := db.Appender(context.Background())
	options := &expfmt.DecodeOptions{Timestamp: model.Time(one.Milliseconds)}
	for _, family := range families {
		samples, err := expfmt.ExtractSamples(options, []*dto.MetricFamily{family}...)
		if err != nil {
			return err
		}
		for _, sample := range samples {
			builder := labels.NewBuilder(labels.FromMap(one.Labels))
			for name, value := range sample.Metric {
				builder.Set(string(name), string(value))
			}
			if _, err := appender.Append(0, builder.Labels(), one.Milliseconds, float64(sample.Value)); err != nil {
				return err
			}
		}
	}
	return appender.Commit()
}

func answer(engine *promql.Engine, db *tsdb.DB, asked request, text string) ([]series, error) {
	start, end := time.UnixMilli(asked.Start), time.UnixMilli(asked.End)
	step := time.Duration(asked.Step) * time.Millisecond
	query, err := engine.NewRangeQuery(context.Background(), db, nil, text, start, end, step)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(context.Background())
	matrix, err := result.Matrix()
	if err != nil {
		return nil, err
	}
	found := make([]series, 0, len(matrix))
	for _, one := range matrix {
		points := make([][2]float64, 0, len(one.Floats))
		for _, point := range one.Floats {
			if point.F == point.F { // JSON has no NaN; a quantile of nothing is none
				points = append(points, [2]float64{float64(point.T), point.F})
			}
		}
		found = append(found, series{Labels: one.Metric.Map(), Points: points})
	}
	return found, nil
}
