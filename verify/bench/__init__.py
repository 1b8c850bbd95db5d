"""Times the replay calls of several trees and routes, interleaved in one run."""
