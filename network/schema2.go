package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Migrate decodes a state of schema 2. There the endpoints were one string behind a checksum, with the rest of each as
// JSON with single quotes:
//
//	crc32=0badcafe azure/4a1f…/eth0/azv0123456789a/17/ready/{'mac':…} azure/…
func Migrate(from int, raw []byte, s *State) error {
	if from != 2 {
		return fmt.Errorf("schema %d was never in use", from)
	}
	var old struct {
		Data *State `json:"data"`
		Rows string `json:"rows"`
	}
	old.Data = s
	if err := json.Unmarshal(raw, &old); err != nil {
		return err
	}
	if old.Data == nil {
		return errors.New("there is no data")
	}
	rows := strings.Fields(old.Rows)
	if len(rows) == 0 || !strings.HasPrefix(rows[0], "crc32=") {
		return errors.New("the endpoints have no checksum")
	}
	for _, row := range rows[1:] {
		e, err := parseRow2(row)
		if err != nil {
			return fmt.Errorf("endpoint %.40q: %w", row, err)
		}
		n := s.Networks[e.Network]
		if n == nil {
			return fmt.Errorf("endpoint %s is of a network that is not there", e.Owner)
		}
		n.Endpoints.Set(e)
	}
	return nil
}

func parseRow2(row string) (*Endpoint, error) {
	fields := strings.SplitN(row, "/", 7)
	if len(fields) < 7 {
		return nil, errors.New("it does not have seven fields")
	}
	index, err := strconv.Atoi(fields[4])
	if err != nil {
		return nil, err
	}
	e := &Endpoint{HostIfIndex: index}
	text, err := url.PathUnescape(strings.ReplaceAll(fields[6], "'", `"`))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), e); err != nil {
		return nil, err
	}
	for i, name := range map[int]*string{0: &e.Network, 1: &e.ContainerID, 2: &e.IfName, 3: &e.HostIfName, 5: &e.State} {
		if *name, err = url.PathUnescape(fields[i]); err != nil {
			return nil, err
		}
	}
	if !e.named() {
		return nil, errors.New("it has no owner")
	}
	return e, nil
}
